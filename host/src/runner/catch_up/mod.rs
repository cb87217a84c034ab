//! A catch-up projection: follows the log in order from its checkpoint. Batch, handler and
//! checkpoint share a transaction, and the lock on the checkpoint keeps other hosts away.

mod ahead;
mod batch_size;
mod poison;
mod reshard;
mod step;
mod tenant;
mod turns;
mod work;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::CatchUpConfig;
use super::head::{Head, RECONNECT};
use super::idle::IdleMoves;
use super::losses::Losses;
use super::membership::Membership;
use super::relay::Relay;
use super::tail::Tail;
use crate::db::is_connection_lost;
use crate::event::Shard;
use crate::plugin::Registry;
use crate::store::{EventStore, Mover, Place, StoreError};
use tenant::Tenant;
use turns::Turns;
use work::Work;

/// How long a host that found another one at work waits before it looks again.
const CONTENDED: Duration = Duration::from_millis(50);
/// Tenants whose batches may be on their way at the same time, at most.
const LANES: usize = 4;
/// So much later than the host, the server ends a statement by itself: the host is to see first whether it waits
/// for a lock.
const LATER: Duration = Duration::from_secs(2);

/// Runs one shard of one projection until cancelled.
pub(super) struct CatchUp {
    pub name: String,
    /// Which shard; it rests while the projection has fewer.
    pub shard: i32,
    /// What handles its events, where that is no plugin.
    pub relay: Option<Arc<Relay>>,
    pub store: EventStore,
    pub registry: Arc<Registry>,
    pub head: watch::Receiver<Head>,
    pub tail: Arc<Tail>,
    pub idle: Arc<IdleMoves>,
    pub losses: Arc<Losses>,
    pub members: Arc<Membership>,
    pub config: CatchUpConfig,
    pub poll: Duration,
    pub stop: CancellationToken,
}

/// How a step ended.
enum Step {
    /// There may be more to do.
    Again,
    /// An event was handled at last that had failed before.
    Overcome,
    /// Nothing more to do now.
    Idle,
    /// Another host holds the checkpoint, or knows of a newer version.
    Contended,
}

/// What has ended: a batch, or something that belongs to none.
type Ended = Option<Done>;

/// A batch that has ended.
struct Done {
    tenant: String,
    state: Tenant,
    /// The activation that it was of, how often the state was begun anew before it, and doubted.
    generation: i64,
    epoch: u64,
    doubts: u64,
    result: Result<Step, StoreError>,
}

impl CatchUp {
    pub(super) async fn run(self) {
        let this = &self;
        let mut heads = self.head.clone();
        let mut changes = self.registry.changes();
        let mut members = self.members.changes();
        let mut losses = self.losses.changes();
        let mut tenants: HashMap<String, Tenant> = HashMap::new();
        let mut turns = Turns::new(self.lanes());
        let mut running: FuturesUnordered<BoxFuture<'_, Ended>> = FuturesUnordered::new();
        let mut known = (0, 0, false);
        let (mut epoch, mut doubts, mut errors) = (0, 0, 0);
        while !self.stop.is_cancelled() {
            let snapshot = self.registry.snapshot();
            let free = turns.is_free();
            // Not loaded here (yet)? The registry says when it is.
            let mut wait = Duration::MAX;
            let row = snapshot.registered.get(&self.name);
            let runs =
                row.is_some_and(|row| row.paused.is_none() && self.shard < row.settings.shards);
            let found = Work::find(&snapshot, &self.name, self.relay.as_ref());
            if let Some(work) = found.filter(|_| runs) {
                let head = heads.borrow_and_update().clone();
                let failed = row.is_some_and(|row| row.failed);
                if work.generation() != known.0 || head.position < known.1 || known.2 && !failed {
                    // Another version, a log that begins anew, or another host was restarted to try
                    // a stopped projection again: nothing that is known holds.
                    tenants.clear();
                    epoch += 1;
                }
                known = (work.generation(), head.position, failed);
                // What is beyond is for the version that waits for it.
                let end = work.settings().next_at.map_or(i64::MAX, |next| next - 1);
                let begins = |tenant: &str, last: i64| match tenants.get(tenant) {
                    Some(state) => state.pause(last.min(end)),
                    None => Tenant::default().pause(last.min(end)),
                };
                match turns.next(&head.tenants, begins) {
                    Ok(tenant) if free => {
                        let state = tenants.remove(&tenant).unwrap_or_default();
                        turns.begins(&tenant, state.stopped.is_some());
                        let end = head.position.min(end);
                        let batch = this.batch(work, tenant, state, end, (epoch, doubts));
                        running.push(batch.boxed());
                        continue;
                    }
                    Ok(_) => {}
                    Err(pause) => wait = self.poll.min(pause),
                }
            } else {
                // Nobody knows for how long, and what waits there takes memory.
                tenants.values_mut().for_each(Tenant::forget_ahead);
            }
            let passes_on = turns.passes_on();
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(ended) = running.next() => {
                    let Some(done) = ended else { continue };
                    turns.ended(&done.tenant);
                    if done.epoch != epoch {
                        continue;
                    }
                    let doubted = done.doubts != doubts;
                    let overcome = matches!(done.result, Ok(Step::Overcome));
                    let (tenant, generation) = (done.tenant.clone(), done.generation);
                    let mut state = self.after(done, &mut errors);
                    if doubted {
                        state.doubt();
                    }
                    tenants.insert(tenant, state);
                    let stopped = tenants.values().any(|tenant| tenant.stopped.is_some());
                    if overcome && !stopped && !turns.tries_stopped_ones() {
                        running.push(this.note(generation, None).map(|()| None).boxed());
                    }
                }
                _ = changes.changed() => {}
                _ = losses.changed() => {
                    tenants.values_mut().for_each(Tenant::doubt);
                    doubts += 1;
                }
                _ = members.changed() => tenants.values_mut().for_each(Tenant::look_again),
                // While nothing may begin, there is nothing to look for.
                _ = heads.changed(), if free => {}
                () = tokio::time::sleep(wait), if free => {}
                () = until(passes_on), if !free => {}
            }
        }
        // What was begun for later has a place that the batches in hand may wait for.
        drop(tenants);
        // The batches in hand.
        while running.next().await.is_some() {}
    }

    /// Tenants whose batches may be on their way at the same time: more than one where a batch takes
    /// long, and never so many that they have the pool to themselves.
    fn lanes(&self) -> usize {
        let connections = self.store.pool().options().get_max_connections() as usize;
        (connections / 5).clamp(1, LANES)
    }

    async fn batch(
        &self,
        work: Work,
        tenant: String,
        mut state: Tenant,
        head: i64,
        (epoch, doubts): (u64, u64),
    ) -> Ended {
        let result = self.step(&work, &tenant, &mut state, head).await;
        Some(Done { tenant, state, generation: work.generation(), epoch, doubts, result })
    }

    /// What is known of a tenant after a batch.
    fn after(&self, done: Done, errors: &mut u32) -> Tenant {
        let Done { tenant, mut state, result, .. } = done;
        match result {
            Ok(step) => {
                *errors = 0;
                if !matches!(step, Step::Again | Step::Overcome) {
                    state.forget_ahead();
                }
                if matches!(step, Step::Contended) {
                    state.interrupted(CONTENDED);
                }
            }
            Err(error) => {
                if matches!(&error, StoreError::Database(error) if is_connection_lost(error)) {
                    self.losses.met();
                }
                *errors += 1;
                state.forget_ahead();
                let delay = RECONNECT.delay(*errors);
                tracing::warn!(projection = self.name, tenant, shard = self.shard, %error, ?delay,
                    "a catch-up batch was interrupted; it is tried again");
                state.interrupted(delay);
            }
        }
        state
    }

    /// The checkpoint of this shard, of so many, for a tenant.
    fn place(&self, tenant: &str, shards: i32) -> Place {
        Place {
            projection: self.name.clone(),
            tenant: tenant.to_owned(),
            shard: Shard { index: self.shard, count: shards },
        }
    }

    /// Whether this host is the one that is to do the work for a tenant.
    fn prefers(&self, tenant: &str) -> bool {
        let work = format!("{}/{}/{tenant}", self.name, self.shard);
        self.members.prefers(&work, self.relay.as_deref())
    }

    /// What a checkpoint is to say of who moved it.
    fn mover<'a>(&'a self, version: &'a str) -> Mover<'a> {
        Mover { version, host: self.members.name() }
    }

    async fn note(&self, generation: i64, error: Option<&str>) {
        let noted = self.registry.note_state(&self.name, generation, error).await;
        if let Err(error) = noted {
            tracing::warn!(projection = self.name, %error, "its state could not be noted");
        }
        self.sync().await;
    }

    /// Says beside the state of the projection what is in its way, or nothing any more. Only for relays: what
    /// is in a plugin's way is in this database, and found there by whoever asks.
    async fn note_trouble(&self, work: &Work, trouble: Option<&str>) {
        let Work::Relay { generation, .. } = work else { return };
        let snapshot = self.registry.snapshot();
        let Some(row) = snapshot.registered.get(&self.name) else { return };
        if row.failed || row.last_error.as_deref() == trouble {
            return;
        }
        if let Err(error) = self.registry.note_trouble(&self.name, *generation, trouble).await {
            tracing::warn!(projection = self.name, %error, "its trouble could not be noted");
        }
        self.sync().await;
    }

    async fn sync(&self) {
        if let Err(error) = self.registry.sync().await {
            tracing::warn!(error = format!("{error:#}"), "the registry cannot be read");
        }
    }
}

/// Waits until then; for ever without it.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
