//! Rebuilding a projection: its plugin fills a second set of tables from the log, while the first is
//! served and goes on; then the two change places in one transaction.
//!
//! What is exact about it is in `ARCHITECTURE.md`. `fill.rs` reads the log, `live.rs` knows which events
//! the live tables hold, `place.rs` is the end.

mod error;
mod fill;
mod live;
mod place;
mod progress;
mod successor;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor, PgPool};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::db::{self, Tx};
use crate::event::Event;
use crate::plugin::{
    Active, Beyond, EventLog, MAX_SHARDS, Plugin, ProjectionSettings, Registry, Start, check_shards,
};
use crate::projection::{Description, Failure, FailureKind, Mode};
use crate::runner::answers::Answers;
use crate::runner::blue_green::Tables;
use crate::runner::canary::Trial;
use crate::sandbox::Made;
use crate::store::partition;
use crate::store::rebuild::{self, Rebuild, Shard};
use crate::store::{SafeHead, notify_plugins};
use fill::Filler;
use live::Live;
use place::Place;

pub use error::RebuildError;
pub use progress::RebuildProgress;
pub(super) use successor::{Successor, by, has_tables_of};

/// How long to wait for a lock while others are held that somebody may be waiting for: less than the
/// time after which the server looks for a deadlock.
const BRIEFLY: Duration = Duration::from_millis(500);
/// How long the writers of a projection may have to wait at the end, where it can't be done sooner.
const LONGEST: Duration = Duration::from_secs(10);
/// A rebuild that was killed a moment ago is still known to the server.
const CLAIM: Duration = Duration::from_secs(2);

/// How to rebuild.
#[derive(Debug, Clone)]
pub struct RebuildOptions {
    /// With which event of the log to begin, in empty tables.
    pub from: Start,
    /// In how many parts to read the log; as many as there are cores where it is not said.
    pub shards: Option<i32>,
    /// Keep the tables that are replaced, beside the new ones.
    pub keep_old: bool,
    /// Topics of aggregates: the label that their events had in the outbox.
    pub topics: BTreeMap<String, String>,
    /// Events in a batch, at most.
    pub batch: i64,
}

impl Default for RebuildOptions {
    fn default() -> Self {
        Self {
            from: Start::Default,
            shards: None,
            keep_old: false,
            topics: BTreeMap::new(),
            batch: 500,
        }
    }
}

/// A projection that was rebuilt.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Rebuilt {
    /// Its name.
    pub projection: String,
    /// The SHA-256 of the version that filled the tables.
    pub version: String,
    /// Events that were handed to it, those before an interruption included.
    pub events: i64,
    /// In how many parts.
    pub shards: i32,
    /// It went on with what an earlier rebuild had left.
    pub resumed: bool,
    /// How long it took this time, in seconds.
    pub seconds: f64,
    /// How long the writers were held off at the end, in milliseconds.
    pub held_ms: f64,
}

/// What is filled, and by what.
struct Target {
    pool: PgPool,
    /// What fills the shadow.
    filler: Active,
    /// The log, to which nothing is appended.
    log: Arc<dyn EventLog>,
    /// The active version, where the tables that it has made are kept: what they lack is noted, too.
    kept: Option<Arc<Active>>,
    /// Types of events that one of them wants; none: all.
    types: Vec<String>,
    /// Events that the shadow holds already.
    beyond: HashSet<i64>,
    topics: BTreeMap<String, String>,
    batch: i64,
}

/// A rebuild at work.
struct Work<'a> {
    registry: &'a Registry,
    target: Arc<Target>,
    rebuild: Rebuild,
    successor: Option<&'a Successor<'a>>,
    /// The version that was active at the beginning, and what its migrations make.
    live: String,
    live_made: Made,
    trial: Option<Trial>,
    keep_old: bool,
    progress: watch::Sender<RebuildProgress>,
    stop: CancellationToken,
}

/// Rebuilds a projection by its active version, whether or not hosts run it. `progress` tells how it gets
/// on. One that ends early (`stop`, an error, the end of the process) has changed nothing, and goes on
/// the next time where it stopped, if it is asked for the same.
///
/// # Errors
/// See [`RebuildError`].
pub async fn rebuild(
    registry: &Arc<Registry>,
    name: &str,
    options: &RebuildOptions,
    progress: &watch::Sender<RebuildProgress>,
    stop: &CancellationToken,
) -> Result<Rebuilt, RebuildError> {
    let tables = Tables { options, progress, stop };
    Ok(run(registry, name, None, &tables).await?.0)
}

async fn run(
    registry: &Registry,
    name: &str,
    successor: Option<&Successor<'_>>,
    tables: &Tables<'_>,
) -> Result<(Rebuilt, Option<Trial>), RebuildError> {
    let Tables { options, progress, stop } = *tables;
    let start = Instant::now();
    if let Some(Err(error)) = options.shards.map(check_shards) {
        return Err(RebuildError::Value(error.to_string()));
    }
    registry.sync().await.map_err(|_| RebuildError::NotLoaded(name.to_owned()))?;
    let snapshot = registry.snapshot();
    match snapshot.registered.get(name) {
        None => return Err(RebuildError::Unknown(name.to_owned())),
        Some(row) if row.is_relay() => return Err(RebuildError::Relay(name.to_owned())),
        Some(_) => {}
    }
    let active =
        snapshot.current(name).ok_or_else(|| RebuildError::NotLoaded(name.to_owned()))?.clone();
    let pool = registry.pool().clone();
    let _claim = claim(&pool, name).await?;
    if rebuild::is_backfilled(&pool, name).await? {
        return Err(RebuildError::Backfilled(name.to_owned()));
    }
    let plugin = successor.map_or(&active.plugin, |successor| successor.plugin).clone();
    if plugin.is_reactor() || active.plugin.is_reactor() {
        return Err(RebuildError::Reactor(name.to_owned()));
    }
    let live_made = match successor {
        Some(_) => registry.sandbox().made_by(&active.plugin.description).await?,
        None => Made::ByTheSame,
    };
    let kept = successor.filter(|_| options.keep_old).map(|_| active.clone());
    let also = also(kept.as_deref());
    if successor.is_some() {
        successor::revive(registry, &plugin, &also, options).await?;
    }
    let wants = wants(&plugin.description.mode, &active.settings, &options.topics, &also);
    let (found, resumed) = begin(registry, &plugin, wants, options).await?;
    let (description, version) = (&plugin.description, plugin.version.full());
    let sql = registry.sandbox().prepare_shadow(description, &version, &live_made).await?;
    let mut trial = None;
    if let Some(successor) = successor.filter(|_| !resumed) {
        trial = Some(successor::try_out(registry, successor, &sql).await?);
    }
    let shards = rebuild::shards(&pool, name).await?;
    progress.send_replace(RebuildProgress::begin(resumed, found.starts_after, &shards));
    let filler = Active {
        plugin: plugin.clone(),
        sql,
        config: active.config.clone(),
        generation: active.generation,
        settings: active.settings.clone(),
        // What is served is counted, and not what will be.
        meter: Arc::default(),
    };
    let mut types = description.event_types.clone();
    if let Some(kept) = &kept {
        types = successor::either(types, &kept.plugin.description.event_types);
    }
    let target = Target {
        pool: pool.clone(),
        filler,
        log: Answers::repeated(registry),
        kept,
        types,
        beyond: found.beyond.iter().copied().collect(),
        topics: options.topics.clone(),
        batch: options.batch.max(1),
    };
    let work = Work {
        registry,
        target: Arc::new(target),
        rebuild: found.clone(),
        successor,
        live: active.plugin.version.full(),
        live_made,
        trial: trial.clone(),
        keep_old: options.keep_old,
        progress: progress.clone(),
        stop: stop.clone(),
    };
    let held = match work.run().await {
        Ok(held) => held,
        Err(error) => {
            let noted = rebuild::note_error(&pool, name, found.id, &error.text()).await;
            if let Err(error) = noted {
                tracing::debug!(projection = name, %error, "why its rebuild ended is not noted");
            }
            return Err(error);
        }
    };
    if let Err(error) = notify_plugins(&pool).await {
        tracing::debug!(%error, "the hosts will find the rebuilt tables by polling");
    }
    let rebuilt = Rebuilt {
        projection: name.to_owned(),
        version: found.version,
        events: progress.borrow().events,
        shards: found.shards,
        resumed,
        seconds: start.elapsed().as_secs_f64(),
        held_ms: held.as_secs_f64() * 1000.0,
    };
    Ok((rebuilt, trial))
}

/// In how many parts to read the log.
fn parts(pool: &PgPool, options: &RebuildOptions) -> i32 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    // A part at work has a connection, and some are for other things.
    let room = pool.options().get_max_connections().saturating_sub(4).max(1);
    let most = MAX_SHARDS.min(i32::try_from(room).unwrap_or(MAX_SHARDS));
    options.shards.unwrap_or_else(|| i32::try_from(cores).unwrap_or(1).min(most))
}

/// A session that is the only one to rebuild a projection, as long as this lives.
pub(super) async fn claim(pool: &PgPool, name: &str) -> Result<PgConnection, RebuildError> {
    // Out of the pool: given back, it would keep the claim.
    let mut conn = pool.acquire().await?.detach();
    let start = Instant::now();
    while !rebuild::claim(&mut conn, name).await? {
        if start.elapsed() > CLAIM {
            return Err(RebuildError::Busy(name.to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(conn)
}

/// Finds what an earlier rebuild has left that was asked for the same, or begins anew. Answers whether it
/// was found.
async fn begin(
    registry: &Registry,
    plugin: &Plugin,
    wants: Value,
    options: &RebuildOptions,
) -> Result<(Rebuild, bool), RebuildError> {
    let (pool, sandbox) = (registry.pool(), registry.sandbox());
    let description = &plugin.description;
    let (name, version) = (&description.name, plugin.version.full());
    let starts_after = options.from.position(pool).await?;
    let earlier = rebuild::find(pool, name).await?;
    if let Some(earlier) = earlier {
        let same = earlier.version == version
            && earlier.starts_after == starts_after
            && earlier.wants == wants
            && options.shards.is_none_or(|shards| shards == earlier.shards)
            && sandbox.has_shadow(name).await?;
        if same {
            return Ok((earlier, true));
        }
        tracing::info!(
            projection = name,
            "an earlier rebuild was of another version, or was asked for something else; this one \
             begins anew"
        );
    }
    if starts_after == 0 {
        let detached = partition::detached(pool).await?;
        if !detached.is_empty() {
            return Err(RebuildError::Detached(detached));
        }
    }
    // In this order: what is recorded is there, whenever this ends.
    rebuild::forget(pool, name).await?;
    sandbox.drop_shadow(name).await?;
    let shards = parts(pool, options);
    let begun = rebuild::begin(pool, name, &version, starts_after, &wants, shards).await?;
    Ok((begun, false))
}

/// What decides which events a projection gets, beside its plugin, and which ones are noted.
fn wants(
    mode: &Mode,
    settings: &ProjectionSettings,
    topics: &BTreeMap<String, String>,
    also: &Value,
) -> Value {
    let mut wants = match mode {
        Mode::Async => json!({
            "starts_after": settings.starts_after, "topics": settings.topics, "of": topics,
        }),
        Mode::CatchUp | Mode::Inline => json!({"starts_after": settings.starts_after}),
    };
    if let (Some(wants), Some(also)) = (wants.as_object_mut(), also.as_object()) {
        wants.extend(also.clone());
    }
    wants
}

/// What is noted for the tables that are kept: whatever their version wants, and they lack.
fn also(kept: Option<&Active>) -> Value {
    kept.map_or_else(
        || json!({}),
        |kept| {
            let Description { event_types, topics, .. } = &kept.plugin.description;
            json!({"also": {"types": event_types, "topics": topics}})
        },
    )
}

impl Work<'_> {
    fn name(&self) -> &str {
        &self.target.filler.plugin.description.name
    }

    /// Passes over what has come meanwhile, each shorter than the one before, until the rest is so small
    /// that the writers can wait for it.
    async fn run(&self) -> Result<Duration, RebuildError> {
        let (pool, filler) = (&self.target.pool, &self.target.filler);
        let mut head = SafeHead::default();
        let (mut rest, mut patience) = (BRIEFLY, BRIEFLY);
        let (mut analyzed, mut denied) = (false, false);
        loop {
            let begun = Instant::now();
            let live = Live::look(pool, filler, &mut head, &self.stop).await?;
            rebuild::note_target(pool, self.name(), self.rebuild.id, live.bound).await?;
            self.progress.send_modify(|progress| {
                progress.target = live.bound;
                progress.replacing = false;
            });
            // Under the locks there is as much to do as has come during this pass.
            if self.pass(&live).await? > 2 * self.target.batch && begun.elapsed() > rest {
                // Where more comes all the time than the parts get through with, the writers will
                // have to wait a little longer.
                rest = rest.mul_f64(1.1).min(LONGEST);
                continue;
            }
            if !analyzed {
                analyzed = true;
                self.registry.sandbox().analyze_shadow(self.name()).await?;
                continue;
            }
            self.progress.send_modify(|progress| progress.replacing = true);
            let by = match self.place(&mut head, patience).await {
                Ok(Place::Taken(held)) => return Ok(held),
                Err(error) if error.is_denied() && !denied => {
                    // Not to be believed before a new session is denied it, too.
                    denied = true;
                    db::close_idle(&self.target.pool).await;
                    continue;
                }
                Ok(Place::Blocked(by)) => by.to_owned(),
                Err(error) if error.is_blocked() => error.text(),
                Err(error) => return Err(error),
            };
            tracing::info!(
                projection = self.name(),
                by,
                ?patience,
                "the rebuilt tables are ready and wait for their place"
            );
            patience = (patience * 2).min(LONGEST);
            // Those who had to wait may go on for a moment.
            tokio::select! {
                () = self.stop.cancelled() => return Err(RebuildError::Stopped),
                () = tokio::time::sleep(BRIEFLY) => {}
            }
        }
    }

    /// All parts go on to where the live tables are. Answers how many events were handled.
    async fn pass(&self, live: &Live) -> Result<i64, RebuildError> {
        let mut parts = JoinSet::new();
        for number in 0..self.rebuild.shards {
            let filler = Filler {
                target: self.target.clone(),
                shard: Shard {
                    projection: self.name().to_owned(),
                    rebuild: self.rebuild.id,
                    number,
                    of: self.rebuild.shards,
                },
                progress: self.progress.clone(),
                stop: self.stop.clone(),
            };
            let live = live.clone();
            parts.spawn(async move { filler.pass(&live).await });
        }
        let mut events = 0;
        while let Some(ended) = parts.join_next().await {
            // The others are dropped with the set: their batches are rolled back.
            events += ended.map_err(|error| RebuildError::Plugin(error.to_string()))??;
        }
        Ok(events)
    }
}

impl Target {
    /// Hands events to the plugin, in this transaction. An error names the event to blame, or the first
    /// one of them.
    async fn handle(
        &self,
        tx: Tx,
        events: &[Event],
    ) -> Result<Result<Tx, (Box<Event>, Failure)>, RebuildError> {
        let Some(first) = events.first() else { return Ok(Ok(tx)) };
        let Active { plugin, sql, config, .. } = &self.filler;
        let (tx, result) =
            plugin.handle_with(tx, sql, events, config, Beyond::log(&self.log)).await;
        let failure = match (tx, result) {
            (Some(tx), Ok(_)) => return Ok(Ok(tx)),
            (None, Ok(_)) => Failure::new(FailureKind::Retry, "the connection was lost"),
            (tx, Err(failure)) => {
                if let Some(tx) = tx {
                    tx.rollback().await?;
                }
                failure
            }
        };
        let event = failure.index.and_then(|index| events.get(index)).unwrap_or(first);
        Ok(Err((Box::new(event.clone()), failure)))
    }

    /// Whether the event is for the shadow, and not in it already.
    fn lacks(&self, event: &Event) -> bool {
        self.filler.wants(event) && !self.beyond.contains(&event.position)
    }

    /// Whether the event is for the shadow, or for the tables that are kept.
    fn concerns(&self, event: &Event) -> bool {
        self.lacks(event) || self.kept.as_ref().is_some_and(|kept| kept.wants(event))
    }

    /// Those of the positions that the projection has not handled, though it has come past them.
    async fn still_open(
        &self,
        executor: impl PgExecutor<'_>,
        positions: &[i64],
    ) -> Result<Vec<i64>, RebuildError> {
        let description = &self.filler.plugin.description;
        if positions.is_empty() || description.mode == Mode::Inline {
            return Ok(Vec::new());
        }
        let is_async = description.mode == Mode::Async;
        Ok(rebuild::still_open(executor, &description.name, is_async, positions).await?)
    }
}
