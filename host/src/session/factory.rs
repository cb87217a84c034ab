//! The configuration of sessions.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use sqlx::PgConnection;

use super::aggregate::Aggregate;
use super::error::SessionError;
use super::event::{DomainEvent as _, EventType};
use super::retry::Retry;
use super::setup::AggregateSetup;
use super::unit::Session;
use crate::event::{DEFAULT_TENANT, Event, StreamId, TenantId};
use crate::store::{EventStore, StoreError, TenantStore};
use crate::upcast::{StepError, Upcasters};

/// Makes sessions that know the aggregates of a program. Cheap to clone.
///
/// What is set on a clone ([`SessionFactory::in_tenant`] and those after it) holds for the sessions
/// that it makes.
#[derive(Clone)]
pub struct SessionFactory {
    pub(super) parts: Arc<Parts>,
    pub(super) context: Context,
    pub(super) retry: Retry,
}

/// What is the same for all sessions.
pub(super) struct Parts {
    pub(super) upcasters: Upcasters,
    pub(super) inline: Vec<InlineClosure>,
    /// By the names of aggregates.
    pub(super) topics: HashMap<&'static str, String>,
    setups: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

/// What a session works on, and what it adds to each of its events.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) store: EventStore,
    /// The one tenant that it is confined to, and what keeps the tenant's store open.
    own: Option<(TenantId, Option<Arc<dyn Send + Sync>>)>,
    pub(super) tenant: String,
    /// Loads see dismissed events, too.
    pub(super) dismissed: bool,
    pub(super) correlation_id: Option<String>,
    pub(super) causation_id: Option<String>,
    pub(super) metadata: Map<String, Value>,
}

pub(super) struct InlineClosure {
    pub(super) name: String,
    pub(super) run: Box<InlineFn>,
}

type InlineFn = dyn for<'a> Fn(&'a mut PgConnection, &'a [Event]) -> BoxFuture<'a, Result<(), StepError>>
    + Send
    + Sync;

impl SessionFactory {
    /// Begins the configuration of sessions on a store. (That of a `runner::Host` runs the inline
    /// plugins of the database; a database that has some refuses the appends of others.)
    pub fn builder(store: EventStore) -> Builder {
        Builder {
            store,
            parts: Parts {
                upcasters: Upcasters::new(),
                inline: Vec::new(),
                topics: HashMap::new(),
                setups: HashMap::new(),
            },
            retry: Retry::default(),
            names: HashMap::new(),
            types: Vec::new(),
        }
    }

    /// A new unit of work.
    pub fn session(&self) -> Session {
        Session::new(self.parts.clone(), self.context.clone())
    }

    /// The same configuration on the store of one tenant, in whatever database that is, and confined to
    /// it: sessions have no way to another tenant's streams. They keep the store open, so hold the
    /// factory for a piece of work only.
    ///
    /// ```no_run
    /// # use eventfabric::{session::SessionFactory, tenancy::Tenants};
    /// # async fn f(factory: SessionFactory, tenants: Tenants) -> anyhow::Result<()> {
    /// let acme = factory.for_tenant(&tenants.store(&"acme".parse()?).await?);
    /// let mut session = acme.session();
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn for_tenant(&self, tenant: &TenantStore) -> Self {
        let mut factory = self.clone();
        let (store, lease) = tenant.below();
        factory.context.store = store.clone();
        factory.context.own = Some((tenant.id().clone(), lease.cloned()));
        factory.context.tenant = tenant.id().as_str().to_owned();
        factory
    }

    /// The store below, of all tenants.
    ///
    /// # Panics
    /// For a factory [of one tenant](SessionFactory::for_tenant), from which there is no way to the others.
    pub fn store(&self) -> &EventStore {
        assert!(self.context.own.is_none(), "this factory is confined to one tenant");
        &self.context.store
    }

    /// For the streams of this tenant; [`DEFAULT_TENANT`] where nothing is said. A factory that is confined
    /// to another tenant makes sessions that refuse everything
    /// ([`OtherTenant`](crate::store::StoreError::OtherTenant)).
    #[must_use]
    pub fn in_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.context.tenant = tenant.into();
        self
    }

    /// Loads apply dismissed events as if they had not been dismissed: to see what an aggregate would be,
    /// or was. They read all events and no snapshot, and no snapshot is made of what they give. What is
    /// saved is appended as ever.
    #[must_use]
    pub fn with_dismissed(mut self) -> Self {
        self.context.dismissed = true;
        self
    }

    /// Every event of the session belongs to this, unless it says otherwise itself.
    #[must_use]
    pub fn correlated(mut self, correlation_id: impl Into<String>) -> Self {
        self.context.correlation_id = Some(correlation_id.into());
        self
    }

    /// Every event of the session was caused by this, unless it says otherwise itself.
    #[must_use]
    pub fn caused_by(mut self, causation_id: impl Into<String>) -> Self {
        self.context.causation_id = Some(causation_id.into());
        self
    }

    /// Every event of the session says this of itself, in the object `metadata` of its payload, where
    /// plugins and other programs find it; [`Event::metadata`] reads it.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.context.metadata.insert(key.into(), value.into());
        self
    }

    /// How often and when [`SessionFactory::with_retry`] tries again.
    #[must_use]
    pub fn retrying(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    pub(super) fn stream<A: Aggregate>(&self, id: &str) -> StreamId {
        StreamId::new(A::NAME, id).in_tenant(&*self.context.tenant)
    }
}

impl Context {
    /// Fails for another tenant than the one that this is confined to.
    pub(super) fn check_tenant(&self) -> Result<(), SessionError> {
        self.check_own(&self.tenant)
    }

    /// Whether `asked` is a tenant that this may ask for.
    fn check_own(&self, asked: &str) -> Result<(), SessionError> {
        match &self.own {
            Some((own, _)) if own.as_str() != asked => {
                Err(StoreError::OtherTenant { own: own.clone(), asked: asked.to_owned() }.into())
            }
            _ => Ok(()),
        }
    }

    /// The tenant that something over all tenants is narrowed to; `asked` where this is not confined.
    pub(super) fn narrowed(&self, asked: Option<String>) -> Result<Option<String>, SessionError> {
        if let Some(asked) = &asked {
            self.check_own(asked)?;
        }
        self.check_tenant()?;
        let own = self.own.as_ref().map(|(own, _)| own.as_str().to_owned());
        Ok(own.or(asked))
    }
}

impl Parts {
    /// What was said of a kind of aggregate.
    pub(super) fn setup<A: Aggregate>(&self) -> Result<Arc<AggregateSetup<A>>, SessionError> {
        let setup = self.setups.get(&TypeId::of::<A>()).cloned();
        setup
            .and_then(|setup| setup.downcast().ok())
            .ok_or(SessionError::NotRegistered { aggregate: A::NAME, type_name: type_name::<A>() })
    }
}

/// Puts a [`SessionFactory`] together.
pub struct Builder {
    store: EventStore,
    parts: Parts,
    retry: Retry,
    names: HashMap<&'static str, &'static str>,
    types: Vec<EventType>,
}

impl Builder {
    /// Makes a kind of aggregate known, with its events, and says how it is stored.
    ///
    /// # Panics
    /// When two types have the same [`Aggregate::NAME`]: they would write into each other's streams.
    #[must_use]
    pub fn aggregate<A: Aggregate>(
        mut self,
        setup: impl FnOnce(AggregateSetup<A>) -> AggregateSetup<A>,
    ) -> Self {
        let name = type_name::<A>();
        if let Some(other) = self.names.insert(A::NAME, name) {
            assert!(
                other == name,
                "{other} and {name} have the same name {}: they would share streams",
                A::NAME
            );
        }
        self.types.extend(A::Event::TYPES);
        let setup = setup(AggregateSetup::new());
        if let Some(topic) = &setup.topic {
            self.parts.topics.insert(A::NAME, topic.clone());
        }
        self.parts.setups.insert(TypeId::of::<A>(), Arc::new(setup));
        self
    }

    /// How events of older schema versions are lifted. Replaces those of an earlier call.
    #[must_use]
    pub fn upcasters(mut self, upcasters: Upcasters) -> Self {
        self.parts.upcasters = upcasters;
        self
    }

    /// Runs a closure in the transaction of each save, with all of its events as they were
    /// appended: after the inline plugins, and after the closures that were added before. An error
    /// undoes the save, and is its answer. What other programs append does not come here; what must
    /// see every event is a plugin.
    ///
    /// The closure may run more than once for a save that is tried again, but only one try is
    /// committed: what it does outside of the connection is not undone. It must not commit.
    #[must_use]
    pub fn inline<F>(mut self, name: impl Into<String>, run: F) -> Self
    where
        F: for<'a> Fn(&'a mut PgConnection, &'a [Event]) -> BoxFuture<'a, Result<(), StepError>>
            + Send
            + Sync
            + 'static,
    {
        self.parts.inline.push(InlineClosure { name: name.into(), run: Box::new(run) });
        self
    }

    /// How often and when [`SessionFactory::with_retry`] tries again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Checks that the upcasters lead to the versions that the events have.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<SessionFactory, BuildError> {
        for (name, steps) in self.parts.upcasters.steps() {
            for known in self.types.iter().filter(|known| known.name == name) {
                let current = known.version;
                if let Some(from) = steps.iter().copied().find(|from| *from >= current) {
                    return Err(BuildError::Beyond { event_type: name.to_owned(), from, current });
                }
                let missing = steps
                    .iter()
                    .min()
                    .and_then(|first| (*first..current).find(|version| !steps.contains(version)));
                if let Some(from) = missing {
                    return Err(BuildError::Gap { event_type: name.to_owned(), from, current });
                }
            }
        }
        let context = Context {
            store: self.store,
            own: None,
            tenant: DEFAULT_TENANT.to_owned(),
            dismissed: false,
            correlation_id: None,
            causation_id: None,
            metadata: Map::new(),
        };
        Ok(SessionFactory { parts: Arc::new(self.parts), context, retry: self.retry })
    }
}

/// What does not fit together in a factory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A step leads beyond the version that is written.
    #[error(
        "an upcaster lifts {event_type} from schema version {from}, but {current} is what is written: \
         raise it with #[event(version = …)]"
    )]
    Beyond {
        /// The type of the event.
        event_type: String,
        /// Where the step begins.
        from: i32,
        /// The version that is written.
        current: i32,
    },
    /// A step is missing between the first one and the version that is written.
    #[error(
        "nothing lifts {event_type} from schema version {from}, on the way to {current}: add that \
         upcaster"
    )]
    Gap {
        /// The type of the event.
        event_type: String,
        /// Where the missing step begins.
        from: i32,
        /// The version that is written.
        current: i32,
    },
}
