//! The store of one tenant in a database that it shares with others. Its calls take the tenant from
//! the handle and have no way to name another one.

use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt as _};
use uuid::Uuid;

use super::{
    Append, Appended, Backlog, Direction, Dismissal, DismissalFilter, EventRef, EventStore,
    LogFilter, Query, Statistics, StoreError,
};
use crate::event::{Event, ExpectedVersion, NewEvent, StreamName, TenantId};

/// A handle on the streams of one tenant. Cheap to clone.
///
/// Streams of the same name in two tenants are two streams. What a tenant can learn of the others
/// is that positions of the log have holes, and that an event id is taken ([`StoreError::EventIdTaken`];
/// made by the store, or by chance, ids never are).
#[derive(Clone)]
pub struct TenantStore {
    store: EventStore,
    tenant: TenantId,
    /// Keeps what the store stands on from being closed.
    lease: Option<Arc<dyn Send + Sync>>,
}

/// Events for one stream of the tenant, with what the writer believes of it. See [`Append`].
#[derive(Debug, Clone)]
pub struct TenantAppend {
    /// Where to.
    pub stream: StreamName,
    /// What the writer believes of the stream.
    pub expected: ExpectedVersion,
    /// The label of the events in the outbox.
    pub topic: Option<String>,
    /// At least one.
    pub events: Vec<NewEvent>,
}

impl EventStore {
    /// The store of one tenant: every call takes its tenant from this handle.
    ///
    /// ```no_run
    /// # async fn f(store: eventfabric::store::EventStore) -> anyhow::Result<()> {
    /// use eventfabric::event::{ExpectedVersion, NewEvent, StreamName};
    ///
    /// let acme = store.tenant(&"acme".parse()?);
    /// let opened = NewEvent::new("AccountOpened", &serde_json::json!({"owner": "Ada"}))?;
    /// acme.append(StreamName::new("Account", "42"), ExpectedVersion::NoStream, vec![opened]).await?;
    /// # Ok(()) }
    /// ```
    pub fn tenant(&self, tenant: &TenantId) -> TenantStore {
        TenantStore { store: self.clone(), tenant: tenant.clone(), lease: None }
    }
}

impl TenantStore {
    /// The tenant.
    pub fn id(&self) -> &TenantId {
        &self.tenant
    }

    /// The same store, which keeps something alive as long as one of its clones lives.
    #[must_use]
    pub fn holding(mut self, lease: Arc<dyn Send + Sync>) -> Self {
        self.lease = Some(lease);
        self
    }

    /// What it stands on, for sessions that are confined in the same way: the store of all tenants,
    /// and what keeps it open.
    pub(crate) fn below(&self) -> (&EventStore, Option<&Arc<dyn Send + Sync>>) {
        (&self.store, self.lease.as_ref())
    }

    /// Appends events to one stream. See [`EventStore::append`].
    ///
    /// # Errors
    /// As [`EventStore::append`].
    pub async fn append(
        &self,
        stream: StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> Result<Appended, StoreError> {
        self.append_all(vec![TenantAppend { stream, expected, topic: None, events }]).await
    }

    /// Appends events to several streams, all or none. See [`EventStore::append_all`].
    ///
    /// # Errors
    /// As [`EventStore::append`].
    pub async fn append_all(&self, appends: Vec<TenantAppend>) -> Result<Appended, StoreError> {
        let own = appends.into_iter().map(|append| Append {
            stream: append.stream.of(&self.tenant),
            expected: append.expected,
            topic: append.topic,
            events: append.events,
        });
        self.store.append_all(own.collect()).await
    }

    /// Reads a stream. See [`EventStore::read_stream`].
    pub fn read_stream(
        &self,
        stream: StreamName,
        direction: Direction,
        from: Option<i32>,
    ) -> impl Stream<Item = Result<Event, StoreError>> + Send + 'static {
        self.held(self.store.read_stream(stream.of(&self.tenant), direction, from))
    }

    /// The same with dismissed events. See [`EventStore::read_stream_with_dismissed`].
    pub fn read_stream_with_dismissed(
        &self,
        stream: StreamName,
        direction: Direction,
        from: Option<i32>,
    ) -> impl Stream<Item = Result<Event, StoreError>> + Send + 'static {
        let stream = stream.of(&self.tenant);
        self.held(self.store.read_stream_with_dismissed(stream, direction, from))
    }

    /// Reads the tenant's part of the log. See [`EventStore::read_log`]. A filter for another
    /// tenant answers [`StoreError::OtherTenant`] and nothing else.
    pub fn read_log(
        &self,
        filter: LogFilter,
    ) -> impl Stream<Item = Result<Event, StoreError>> + Send + 'static {
        let own = Some(self.tenant.as_str().to_owned());
        match filter.tenant {
            Some(asked) if Some(&asked) != own.as_ref() => {
                let error = StoreError::OtherTenant { own: self.tenant.clone(), asked };
                stream::once(async { Err(error) }).left_stream()
            }
            _ => {
                let filter = LogFilter { tenant: own, ..filter };
                self.held(self.store.read_log(filter)).right_stream()
            }
        }
    }

    /// Which of these event ids are in the log as the tenant's own.
    ///
    /// # Errors
    /// The database's.
    pub async fn known_ids(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        self.store.known_ids_of(&self.tenant, ids).await
    }

    /// A query for the tenant's events. One that names another tenant answers
    /// [`StoreError::OtherTenant`] and nothing else. See [`EventStore::query`].
    pub fn query(&self) -> Query {
        self.store.query().confined(self.tenant.clone(), self.lease.clone())
    }

    /// The tenant's events at these positions. See [`EventStore::load_by_positions`].
    ///
    /// # Errors
    /// [`StoreError::UnknownEvents`], also for positions of other tenants.
    pub async fn load_by_positions(&self, positions: &[i64]) -> Result<Vec<Event>, StoreError> {
        self.store.positions_of(Some(self.tenant.as_str()), positions).await
    }

    /// The tenant's events with these ids. See [`EventStore::load_by_ids`].
    ///
    /// # Errors
    /// [`StoreError::UnknownEvents`], also for ids of other tenants' events.
    pub async fn load_by_ids(&self, ids: &[Uuid]) -> Result<Vec<Event>, StoreError> {
        self.store.ids_of(Some(self.tenant.as_str()), ids).await
    }

    /// Counts the tenant's events. See [`EventStore::statistics`].
    ///
    /// # Errors
    /// As there.
    pub async fn statistics(&self) -> Result<Statistics, StoreError> {
        self.store.statistics(Some(self.tenant.as_str())).await
    }

    /// What of the tenant's events still waits to be delivered. See [`EventStore::backlog`].
    ///
    /// # Errors
    /// As there.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.store.backlog(Some(self.tenant.as_str())).await
    }

    /// Dismisses events of the tenant. See [`EventStore::dismiss`].
    ///
    /// # Errors
    /// As there; events of other tenants are unknown.
    pub async fn dismiss(
        &self,
        events: &[EventRef],
        reason: &str,
        by: &str,
    ) -> Result<Vec<Dismissal>, StoreError> {
        self.store.dismiss_of(Some(self.tenant.as_str()), events, reason, by).await
    }

    /// Takes dismissals of the tenant's events back. See [`EventStore::undo_dismissal`].
    ///
    /// # Errors
    /// As there; events of other tenants are unknown.
    pub async fn undo_dismissal(
        &self,
        events: &[EventRef],
        by: &str,
    ) -> Result<Vec<Dismissal>, StoreError> {
        self.store.undo_dismissal_of(Some(self.tenant.as_str()), events, by).await
    }

    /// The record of dismissals of the tenant's events. See [`EventStore::dismissals`]. The
    /// tenant of the filter does not matter.
    ///
    /// # Errors
    /// As there.
    pub async fn dismissals(
        &self,
        filter: &DismissalFilter,
        limit: usize,
    ) -> Result<Vec<Dismissal>, StoreError> {
        let own = Some(self.tenant.as_str().to_owned());
        let filter = DismissalFilter { tenant: own, ..filter.clone() };
        self.store.dismissals(&filter, limit).await
    }

    /// A stream that keeps what this handle keeps.
    fn held<T: 'static>(
        &self,
        events: impl Stream<Item = T> + Send + 'static,
    ) -> impl Stream<Item = T> + Send + 'static {
        let lease = self.lease.clone();
        events.map(move |event| {
            let _held = &lease;
            event
        })
    }
}

impl std::fmt::Debug for TenantStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantStore").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
