//! The projections of all tenants of a directory, each tenant's supervised by itself: one whose
//! database is away waits and is tried again, and no other one notices.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::tenants::Hosts;
use crate::backoff::Backoff;
use crate::event::TenantId;
use crate::tenancy::{Entry, TenantError, TenantLease, Tenants};

/// Between attempts at a tenant whose database opens, and whose projections can't be run.
const RESTART: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// A database that did not answer so often in a row is given up until it does.
const SILENCES: u32 = 2;

/// How a tenant stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantState {
    /// Its database is being opened, migrated, and its plugins loaded.
    Starting,
    /// Its projections run.
    Running,
    /// They do not, and are tried again.
    Waiting {
        /// Why, in words.
        reason: String,
        /// After this time.
        retry_in: Duration,
    },
}

/// Runs the projections of all tenants of a directory.
pub struct Fleet {
    hosts: Tenants<Hosts>,
    plugins: Option<PathBuf>,
    starting: Arc<Semaphore>,
    states: watch::Sender<BTreeMap<TenantId, TenantState>>,
}

/// What runs for a tenant, and for which entry of the directory.
struct Run {
    entry: Entry,
    stop: CancellationToken,
    task: Id,
}

impl Fleet {
    /// The tenants of these hosts. What is in the folder `plugins` is deployed to each database.
    pub fn new(hosts: Tenants<Hosts>, plugins: Option<PathBuf>) -> Self {
        let starting = Arc::new(Semaphore::new(hosts.config().at_once));
        Self { hosts, plugins, starting, states: watch::Sender::default() }
    }

    /// The hosts that it runs.
    pub fn hosts(&self) -> &Tenants<Hosts> {
        &self.hosts
    }

    /// How the tenants stand, as it changes.
    pub fn states(&self) -> watch::Receiver<BTreeMap<TenantId, TenantState>> {
        self.states.subscribe()
    }

    /// Runs until `stop` is cancelled, and then until the batches in hand are finished. Follows the
    /// directory: tenants that are added are started, those that are removed or moved are stopped.
    pub async fn run(self: &Arc<Self>, stop: CancellationToken) {
        let mut running: HashMap<TenantId, Run> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut failing = false;
        let mut told = (0, 0);
        loop {
            let listed = tokio::select! {
                listed = self.hosts.directory().list() => listed,
                () = stop.cancelled() => break,
            };
            match listed {
                Ok(entries) => {
                    failing = false;
                    self.follow(entries, &mut running, &mut tasks, &stop);
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "the tenants that are known go on");
                }
                Err(_) => {}
            }
            while let Some(ended) = tasks.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of a tenant was lost; it is started again");
                    running.retain(|_, run| run.task != error.id());
                }
            }
            self.tell(&mut told);
            tokio::select! {
                () = tokio::time::sleep(self.hosts.config().follow) => {}
                () = stop.cancelled() => break,
            }
        }
        // Their tokens are children of this one.
        while tasks.join_next().await.is_some() {}
        self.hosts.close().await;
    }

    /// Starts and stops what the directory says.
    fn follow(
        self: &Arc<Self>,
        entries: Vec<Entry>,
        running: &mut HashMap<TenantId, Run>,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        running.retain(|tenant, run| {
            let stays = entries.contains(&run.entry);
            if !stays {
                tracing::info!(%tenant, "not in the directory any more, or moved: stopping");
                run.stop.cancel();
                self.hosts.forget(tenant);
                self.states.send_if_modified(|states| states.remove(tenant).is_some());
            }
            stays
        });
        for entry in entries {
            if running.contains_key(&entry.tenant) {
                continue;
            }
            let stop = stop.child_token();
            let (fleet, tenant, token) = (self.clone(), entry.tenant.clone(), stop.clone());
            let task = tasks.spawn(async move { fleet.supervise(&tenant, &token).await }).id();
            running.insert(entry.tenant.clone(), Run { entry, stop, task });
        }
    }

    /// Says in the log how many run, when that has changed.
    fn tell(&self, told: &mut (usize, usize)) {
        let states = self.states.borrow().clone();
        let running = states.values().filter(|state| **state == TenantState::Running).count();
        let now = (running, states.len());
        if now != *told {
            *told = now;
            let waiting: Vec<_> = states
                .iter()
                .filter(|(_, state)| matches!(state, TenantState::Waiting { .. }))
                .map(|(tenant, _)| tenant.as_str())
                .collect();
            let waiting = (!waiting.is_empty()).then(|| waiting.join(", "));
            tracing::info!(running, tenants = states.len(), waiting, "tenants");
        }
    }

    /// Runs one tenant until it is stopped, again and again.
    async fn supervise(&self, tenant: &TenantId, stop: &CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            self.note(tenant, TenantState::Starting, stop);
            let (reason, retry_in) = match self.start(tenant, stop).await {
                Some(Ok(host)) => {
                    self.note(tenant, TenantState::Running, stop);
                    match self.run_one(tenant, Arc::new(host), stop).await {
                        Ok(()) => continue,
                        Err(reason) => {
                            failures += 1;
                            (reason, RESTART.delay(failures))
                        }
                    }
                }
                Some(Err(TenantError::Unavailable { reason, retry_in, .. })) => (reason, retry_in),
                Some(Err(error)) => {
                    failures += 1;
                    (error.to_string(), RESTART.delay(failures))
                }
                None => break,
            };
            if stop.is_cancelled() {
                break;
            }
            tracing::warn!(%tenant, reason, ?retry_in, "the projections of a tenant do not run");
            self.note(tenant, TenantState::Waiting { reason, retry_in }, stop);
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Opens the host of a tenant, a few tenants at a time. `None` when it is stopped meanwhile.
    async fn start(
        &self,
        tenant: &TenantId,
        stop: &CancellationToken,
    ) -> Option<Result<TenantLease<Hosts>, TenantError>> {
        let start = async {
            let _turn = self.starting.acquire().await;
            self.hosts.lease(tenant, true).await
        };
        tokio::select! {
            host = start => Some(host),
            () = stop.cancelled() => None,
        }
    }

    /// Runs the projections of a tenant until it is stopped, or until its database is gone.
    async fn run_one(
        &self,
        tenant: &TenantId,
        host: Arc<TenantLease<Hosts>>,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let own = stop.child_token();
        let (running, plugins, token) = (host.clone(), self.plugins.clone(), own.clone());
        // A task of its own: a panic is this tenant's alone.
        let run = tokio::spawn(async move { running.run(plugins, token).await });
        tokio::pin!(run);
        let gone = tokio::select! {
            ended = &mut run => {
                return match ended {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(format!("{error:#}")),
                    Err(error) => Err(error.to_string()),
                };
            }
            reason = self.until_gone(&host) => reason,
        };
        own.cancel();
        if let Err(error) = run.await {
            tracing::error!(%tenant, %error, "the host of a tenant was lost");
        }
        self.hosts.forget(tenant);
        Err(gone)
    }

    /// Waits until a database does not answer any more.
    async fn until_gone(&self, host: &TenantLease<Hosts>) -> String {
        let mut silences = 0;
        loop {
            tokio::time::sleep(self.hosts.config().follow).await;
            match host.still_there(self.hosts.config().patience).await {
                Ok(()) => silences = 0,
                Err(reason) => {
                    silences += 1;
                    if silences >= SILENCES {
                        return reason;
                    }
                }
            }
        }
    }

    /// Notes how a tenant stands. One that is stopped may have a successor by now.
    fn note(&self, tenant: &TenantId, state: TenantState, stop: &CancellationToken) {
        if !stop.is_cancelled() {
            self.states.send_modify(|states| drop(states.insert(tenant.clone(), state)));
        }
    }
}
