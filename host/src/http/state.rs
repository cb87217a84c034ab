//! What every request is answered from.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::HttpConfig;
use super::limits::HttpLimits;
use super::problem::{Code, Problem};
use super::tokens::Tokens;
use crate::event::DEFAULT_TENANT;
use crate::runner::{Head, Host};
use crate::store::{self, EventStore};

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
    /// The greatest position that this API has answered to an append.
    appended: AtomicI64,
    /// Projections that stand still.
    still: Mutex<Vec<String>>,
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
            appended: AtomicI64::new(0),
            still: Mutex::default(),
            limits,
            stop,
            tasks: TaskTracker::new(),
        })))
    }

    /// The one place that knows where a tenant's events are: in the host's database, which all
    /// tenants share.
    ///
    /// # Errors
    /// [`Code::UnknownTenant`]: a name that nobody has given events or an entry in the settings is
    /// taken for a mistake.
    pub(super) async fn home_of(&self, tenant: &str) -> Result<Home, Problem> {
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
        Ok(Home { tenant: tenant.to_owned(), store: store.clone(), head: self.host.head() })
    }

    /// The label in the outbox of an aggregate's events.
    pub(super) fn topic_of(&self, aggregate: &str) -> Option<String> {
        self.topics.get(aggregate).cloned()
    }

    /// Notes what was appended, so that who reads the log next finds it there.
    pub(super) fn note_appended(&self, position: i64) {
        self.appended.fetch_max(position, Ordering::Relaxed);
    }

    /// The greatest position that was answered to an append.
    pub(super) fn appended(&self) -> i64 {
        self.appended.load(Ordering::Relaxed)
    }

    /// Notes which projections stand still.
    pub(super) fn note_still(&self, projections: Vec<String>) {
        *self.still.lock().unwrap_or_else(PoisonError::into_inner) = projections;
    }

    /// Which projections stood still at the last look.
    pub(super) fn still(&self) -> Vec<String> {
        self.still.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
