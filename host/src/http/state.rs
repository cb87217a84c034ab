//! What every request is answered from.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::HttpConfig;
use super::history::History;
use super::limits::HttpLimits;
use super::overview::LastExamination;
use super::problem::{Code, Problem};
use super::tenants::Apart;
use super::tokens::Tokens;
use crate::event::{DEFAULT_TENANT, TenantId};
use crate::runner::{Head, Host, Hosts};
use crate::store::{self, EventStore};
use crate::tenancy::{TenantError, TenantLease, Tenants};

/// Queries of operators at a time: they use connections that the host needs for its own errands.
const READINGS: usize = 2;

/// Tenants that are remembered to exist.
const KNOWN_TENANTS: usize = 10_000;

/// The state of the API. Cheap to clone.
#[derive(Clone)]
pub(super) struct Api(Arc<Shared>);

pub(super) struct Shared {
    pub(super) host: Arc<Host>,
    pub(super) limits: HttpLimits,
    pub(super) tokens: Tokens,
    pub(super) anonymous: bool,
    topics: BTreeMap<String, String>,
    new_tenants: bool,
    known_tenants: Mutex<HashSet<String>>,
    /// Permits for requests, bytes of bodies (in KiB), subscriptions.
    pub(super) requests: Arc<Semaphore>,
    pub(super) bodies: Arc<Semaphore>,
    pub(super) subscriptions: Arc<Semaphore>,
    /// The greatest position that this API has answered to an append, in the host's database.
    appended: Arc<AtomicI64>,
    /// The databases of tenants that have one of their own, where this host serves those.
    tenants: OnceLock<Tenants<Hosts>>,
    /// What is known of those tenants.
    pub(super) apart: Apart,
    /// For each of them that was asked for, the same.
    appended_there: Mutex<HashMap<TenantId, Arc<AtomicI64>>>,
    /// The last hour.
    pub(super) history: History,
    /// What the doctor has found the last time.
    pub(super) examined: LastExamination,
    /// Permits for queries of operators.
    pub(super) readings: Arc<Semaphore>,
    /// The dashboard is served.
    pub(super) ui: bool,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Where the events of one tenant are.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) tenant: String,
    pub(super) store: EventStore,
    /// The end of the log that the tenant's events are in.
    pub(super) head: watch::Receiver<Head>,
    /// The greatest position of that log that was answered to an append.
    appended: Arc<AtomicI64>,
    /// The host of a database of the tenant's own, which it keeps open.
    own: Option<Arc<TenantLease<Hosts>>>,
}

impl Home {
    /// The host that has the plugins of that database.
    pub(super) fn host<'a>(&'a self, api: &'a Api) -> &'a Host {
        self.own.as_ref().map_or(&*api.host, |lease| lease)
    }

    /// Notes what was appended, so that who reads the log next finds it there.
    pub(super) fn note_appended(&self, position: i64) {
        self.appended.fetch_max(position, Ordering::Relaxed);
    }

    /// The greatest position that was answered to an append.
    pub(super) fn appended(&self) -> i64 {
        self.appended.load(Ordering::Relaxed)
    }
}

impl Api {
    pub(super) fn new(
        host: Arc<Host>,
        config: &HttpConfig,
        topics: BTreeMap<String, String>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let tokens = Tokens::new(&config.tokens)?;
        let mut known: HashSet<String> = tokens.tenants().chain(&config.tenants).cloned().collect();
        known.insert(DEFAULT_TENANT.to_owned());
        let limits = config.limits.clone();
        Ok(Self(Arc::new(Shared {
            host,
            tokens,
            anonymous: config.allow_anonymous,
            topics,
            new_tenants: config.new_tenants,
            known_tenants: Mutex::new(known),
            requests: Arc::new(Semaphore::new(limits.requests)),
            bodies: Arc::new(Semaphore::new(limits.bodies_bytes / 1024 + 1)),
            subscriptions: Arc::new(Semaphore::new(limits.subscriptions)),
            appended: Arc::default(),
            tenants: OnceLock::new(),
            apart: Apart::default(),
            appended_there: Mutex::default(),
            history: History::default(),
            examined: LastExamination::default(),
            readings: Arc::new(Semaphore::new(READINGS)),
            ui: config.ui,
            limits,
            stop,
            tasks: TaskTracker::new(),
        })))
    }

    /// Serves the tenants of a directory from their own databases.
    pub(super) fn with_tenants(&self, tenants: Tenants<Hosts>) {
        // The first ones stay.
        let _ = self.tenants.set(tenants);
    }

    /// Whether tenants of the directory are served from their own databases.
    pub(super) fn serves_tenants(&self) -> bool {
        self.tenants.get().is_some()
    }

    /// The one place that knows where a tenant's events are: in a database of its own, where the
    /// directory says so, and else in the host's, which tenants share.
    ///
    /// # Errors
    /// [`Code::UnknownTenant`]: a name that nobody has given events or an entry in the settings is
    /// taken for a mistake. [`Code::TenantNotServed`]: it has a database of its own, and this host
    /// serves none of those. [`Code::DatabaseUnavailable`] and [`Code::Busy`] where the tenant's own
    /// database can't be used now.
    pub(super) async fn home_of(&self, tenant: &str) -> Result<Home, Problem> {
        match self.tenants.get() {
            None => self.apart.refuse(tenant)?,
            Some(tenants) => {
                if let Some(home) = self.own_home(tenants, tenant).await? {
                    return Ok(home);
                }
            }
        }
        let store = self.host.store();
        if !self.new_tenants && !self.is_remembered(tenant) {
            let exists = store::tenant_exists(store.pool(), tenant)
                .await
                .map_err(|error| Problem::of_database(&error))?;
            if !exists {
                return Err(Problem::new(
                    Code::UnknownTenant,
                    "no event was ever appended for this tenant, and the settings do not name it \
                     (http.tenants, http.new_tenants)",
                ));
            }
            self.remember(tenant);
        }
        Ok(Home {
            tenant: tenant.to_owned(),
            store: store.clone(),
            head: self.host.head(),
            appended: self.appended.clone(),
            own: None,
        })
    }

    /// The database of a tenant of the directory.
    async fn own_home(
        &self,
        tenants: &Tenants<Hosts>,
        tenant: &str,
    ) -> Result<Option<Home>, Problem> {
        let id = TenantId::new(tenant).map_err(|error| Problem::invalid(error.to_string()))?;
        let host = match tenants.host(&id).await {
            Ok(host) => host,
            Err(TenantError::Unknown(_)) => {
                // Maybe not any more.
                self.appended_there.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                return Ok(None);
            }
            Err(TenantError::Busy { .. }) => {
                return Err(Problem::new(Code::Busy, "too many tenants are served at the moment"));
            }
            Err(error) => {
                // Where the database is, is none of the caller's business.
                tracing::debug!(%tenant, %error, "a tenant cannot be served");
                let detail = "the tenant's database cannot be used at the moment";
                return Err(Problem::new(Code::DatabaseUnavailable, detail));
            }
        };
        let mut there = self.appended_there.lock().unwrap_or_else(PoisonError::into_inner);
        let appended = there.entry(id).or_default().clone();
        Ok(Some(Home {
            tenant: tenant.to_owned(),
            store: host.store().clone(),
            head: host.head(),
            appended,
            own: Some(Arc::new(host)),
        }))
    }

    /// The label in the outbox of an aggregate's events.
    pub(super) fn topic_of(&self, aggregate: &str) -> Option<String> {
        self.topics.get(aggregate).cloned()
    }

    /// The label in the outbox of each aggregate's events.
    pub(super) fn topics(&self) -> &BTreeMap<String, String> {
        &self.topics
    }

    fn is_remembered(&self, tenant: &str) -> bool {
        self.known_tenants.lock().unwrap_or_else(PoisonError::into_inner).contains(tenant)
    }

    fn remember(&self, tenant: &str) {
        let mut known = self.known_tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < KNOWN_TENANTS {
            known.insert(tenant.to_owned());
        }
    }
}
