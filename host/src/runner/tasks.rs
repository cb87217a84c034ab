//! The tasks of a host: those that there always are, and one for each shard of a catch-up projection.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::catch_up::CatchUp;
use super::config::RunnerConfig;
use super::contention::Contention;
use super::head::{self, Head, Hints};
use super::host::Host;
use super::idle::IdleMoves;
use super::losses::Losses;
use super::membership::Membership;
use super::outbox::OutboxWorker;
use super::partitions;
use super::relay::Relay;
use super::retries::Retries;
use super::retry::Beside;
use super::scheduled;
use super::stall::{Stall, StallWatch};
use super::supervisor::Supervisor;
use super::tail::Tail;
use super::traces;
use crate::plugin::Registry;
use crate::projection::Mode;
use crate::store::EventStore;

/// A host that hears of no change looks into the registry this often.
const FOLLOW: Duration = Duration::from_secs(1);

/// Projections for which work beside the queue is done at the same time, at most.
const RETRY_LANES: usize = 4;

impl Host {
    /// Starts what does not depend on which projections there are.
    pub(super) fn start_tasks(
        &self,
        supervisor: &mut Supervisor,
        stop: &CancellationToken,
    ) -> Shared {
        let shared = self.shared.clone();
        let pool = self.store.pool().clone();
        let (hints, losses, token) = (shared.hints.clone(), shared.losses.clone(), stop.clone());
        supervisor.start("listen", move || {
            head::listen(pool.clone(), hints.clone(), losses.clone(), token.clone())
        });

        let (store, registry) = (self.store.clone(), self.registry.clone());
        let (told, token, poll) = (shared.clone(), stop.clone(), self.config.runner.poll);
        supervisor.start("head", move || {
            let parts = head::Parts {
                pool: store.pool().clone(),
                wake: store.wake().clone(),
                registry: registry.clone(),
                head: told.head.clone(),
                tail: told.tail.clone(),
            };
            head::follow(parts, told.hints.subscribe(), poll, token.clone())
        });

        let (pool, members, token) =
            (self.store.pool().clone(), shared.members.clone(), stop.clone());
        supervisor.start("membership", move || {
            let (pool, members, token) = (pool.clone(), members.clone(), token.clone());
            async move { members.follow(pool, token).await }
        });

        let pool = self.store.pool().clone();
        let (told, token) = (shared.clone(), stop.clone());
        supervisor.start("idle checkpoints", move || {
            let (members, losses) = (told.members.clone(), told.losses.clone());
            told.idle.clone().follow(pool.clone(), members, losses, token.clone())
        });

        let (registry, hints, token) = (self.registry.clone(), shared.hints.clone(), stop.clone());
        supervisor.start("registry", move || {
            follow_registry(registry.clone(), hints.subscribe(), token.clone())
        });

        let (runtime, pool) = (self.registry.runtime().clone(), self.store.pool().clone());
        let (config, members, token) =
            (self.config.runner.logs, shared.members.clone(), stop.clone());
        supervisor.start("logs of plugins", move || {
            let (runtime, pool) = (runtime.clone(), pool.clone());
            let (host, token) = (members.name().to_owned(), token.clone());
            async move { runtime.keep_logs(pool, config, host, token).await }
        });

        let (registry, pool) = (self.registry.clone(), self.store.pool().clone());
        let (host, token) = (shared.members.id(), stop.clone());
        supervisor.start("costs", move || {
            let (registry, pool, token) = (registry.clone(), pool.clone(), token.clone());
            async move { registry.costs().keep(pool, host, token).await }
        });

        let pool = self.store.pool().clone();
        let (config, token) = (self.config.runner.partitions.clone(), stop.clone());
        supervisor.start("partitions", move || {
            partitions::keep_ahead(pool.clone(), config.clone(), token.clone())
        });

        let pool = self.store.pool().clone();
        let (config, token) = (self.config.runner.traces.clone(), stop.clone());
        supervisor.start("traces of events", move || {
            traces::forget_old(pool.clone(), config.clone(), token.clone())
        });

        let (host, told, token) = (self.parts(), shared.clone(), stop.clone());
        supervisor.start("stalls", move || {
            StallWatch {
                pool: host.store.pool().clone(),
                registry: host.registry.clone(),
                head: told.head.subscribe(),
                stalls: told.stalls.clone(),
                after: host.runner.stall,
                foreign_lease: host.runner.r#async.foreign_lease,
                stop: token.clone(),
            }
            .run()
        });

        let contention = Arc::new(Contention::default());
        let breaker = Arc::new(Breaker::default());
        self.start_retries(supervisor, &shared, (&contention, &breaker), stop);
        for worker in 0..self.config.runner.r#async.workers {
            let (host, shared, token) = (self.parts(), shared.clone(), stop.clone());
            let (contention, breaker) = (contention.clone(), breaker.clone());
            supervisor.start(format!("outbox {worker}"), move || {
                OutboxWorker {
                    store: host.store.clone(),
                    registry: host.registry.clone(),
                    hints: shared.hints.subscribe(),
                    retries: shared.retries.clone(),
                    contention: contention.clone(),
                    breaker: breaker.clone(),
                    losses: shared.losses.clone(),
                    members: shared.members.clone(),
                    config: host.runner.r#async.clone(),
                    poll: host.runner.poll,
                    stop: token.clone(),
                }
                .run()
            });
        }
        shared
    }

    /// Starts what is done beside the queue: attempts at what failed, events of before.
    fn start_retries(
        &self,
        supervisor: &mut Supervisor,
        shared: &Shared,
        (contention, breaker): (&Arc<Contention>, &Arc<Breaker>),
        stop: &CancellationToken,
    ) {
        let beside = Arc::new(Beside {
            store: self.store.clone(),
            registry: self.registry.clone(),
            config: self.config.runner.r#async.clone(),
            topics: self.config.topics.clone(),
            relays: self.config.relays.clone(),
            contention: contention.clone(),
            breaker: breaker.clone(),
            losses: shared.losses.clone(),
            stop: stop.clone(),
        });
        let lanes = (self.config.max_connections as usize / 5).clamp(1, RETRY_LANES);
        for (name, reactors) in [("retries", false), ("reactors", true)] {
            let (beside, shared) = (beside.clone(), shared.clone());
            supervisor.start(name, move || {
                Retries {
                    beside: beside.clone(),
                    hints: shared.hints.subscribe(),
                    added: shared.retries.subscribe(),
                    head: shared.head.subscribe(),
                    reactors,
                    lanes,
                }
                .run()
            });
        }
    }

    /// Starts a task for each catch-up projection, those that come later included, until cancelled.
    pub(super) async fn start_projections(
        &self,
        supervisor: &mut Supervisor,
        shared: &Shared,
        stop: &CancellationToken,
    ) {
        let mut changes = self.registry.changes();
        let mut started: HashSet<(String, i32)> = HashSet::new();
        loop {
            for (name, registered) in &self.registry.snapshot().registered {
                let shards = match registered.mode {
                    Mode::Inline | Mode::Async => 0,
                    Mode::CatchUp => registered.settings.shards,
                };
                for shard in (0..shards).filter(|shard| started.insert((name.clone(), *shard))) {
                    self.start_catch_up(supervisor, shared, stop, name, shard);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = changes.changed() => {}
            }
        }
    }

    fn start_catch_up(
        &self,
        supervisor: &mut Supervisor,
        shared: &Shared,
        stop: &CancellationToken,
        name: &str,
        shard: i32,
    ) {
        let (host, shared, token, name) =
            (self.parts(), shared.clone(), stop.clone(), name.to_owned());
        supervisor.start(format!("catch-up {name} {shard}"), move || {
            CatchUp {
                relay: host.relay(&name),
                name: name.clone(),
                shard,
                store: host.store.clone(),
                registry: host.registry.clone(),
                head: shared.head.subscribe(),
                tail: shared.tail.clone(),
                idle: shared.idle.clone(),
                losses: shared.losses.clone(),
                members: shared.members.clone(),
                config: host.runner.catch_up.clone(),
                poll: host.runner.poll,
                stop: token.clone(),
            }
            .run()
        });
    }

    fn parts(&self) -> Parts {
        Parts {
            store: self.store.clone(),
            registry: self.registry.clone(),
            runner: self.config.runner.clone(),
            relays: self.config.relays.clone(),
        }
    }
}

/// What every task needs.
#[derive(Clone)]
struct Parts {
    store: EventStore,
    registry: Arc<Registry>,
    runner: RunnerConfig,
    relays: Vec<Arc<Relay>>,
}

impl Parts {
    /// What handles the events of a projection, where that is no plugin.
    fn relay(&self, name: &str) -> Option<Arc<Relay>> {
        self.relays.iter().find(|relay| relay.name == name).cloned()
    }
}

/// What the tasks tell each other.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) hints: watch::Sender<Hints>,
    pub(super) head: watch::Sender<Head>,
    pub(super) retries: watch::Sender<u64>,
    pub(super) tail: Arc<Tail>,
    pub(super) idle: Arc<IdleMoves>,
    pub(super) losses: Arc<Losses>,
    pub(super) members: Arc<Membership>,
    pub(super) stalls: watch::Sender<Vec<Stall>>,
}

/// Keeps the registry of this host up to date with the database.
async fn follow_registry(
    registry: Arc<Registry>,
    mut hints: watch::Receiver<Hints>,
    stop: CancellationToken,
) {
    let mut seen = hints.borrow_and_update().plugins;
    let mut failing = false;
    loop {
        let synced = tokio::select! {
            biased;
            synced = registry.sync() => synced,
            () = stop.cancelled() => return,
        };
        match synced {
            Ok(()) => {
                failing = false;
                scheduled::activate_due(&registry).await;
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(error = format!("{error:#}"), "the registry cannot be read");
                }
                failing = true;
            }
        }
        let sleep = tokio::time::sleep(FOLLOW);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = &mut sleep => break,
                _ = hints.changed() => {
                    let plugins = hints.borrow_and_update().plugins;
                    if plugins != seen {
                        seen = plugins;
                        break;
                    }
                }
            }
        }
    }
}
