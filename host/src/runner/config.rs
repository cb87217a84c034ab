//! The settings of the runners, with their defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::canary::Canary;
use crate::backoff::Backoff;
use crate::plugin::LogConfig;
use crate::store::partition::DEFAULT_AHEAD;

/// How the runners work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunnerConfig {
    /// How long a reader waits for a hint before it looks by itself.
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    /// What has work and does none of it for so long stands still: the log, the readiness and `doctor`
    /// say so, and who is in the way.
    #[serde(with = "humantime_serde")]
    pub stall: Duration,
    /// Catch-up projections.
    pub catch_up: CatchUpConfig,
    /// Async projections.
    pub r#async: AsyncConfig,
    /// Events that a new version of a plugin handles on trial before it becomes the active one.
    pub canary_events: i64,
    /// It may take so many times as long an event as the active version; 0: as long as it likes.
    pub canary_slower: f64,
    /// An event that takes less than this is not slow.
    #[serde(with = "humantime_serde")]
    pub canary_floor: Duration,
    /// It may refuse so large a share of the events more than the active version does, 0 to 1, leaving out
    /// those that a constraint keeps from being handled twice.
    pub canary_errors: f64,
    /// It may run so many times as many statements an event, and ten more; 0: as many as it likes.
    pub canary_statements: f64,
    /// Which lines of plugins are kept in the database.
    pub logs: LogConfig,
    /// The partitions of the log, where it has any.
    pub partitions: PartitionsConfig,
    /// The traces that are stored with events.
    pub traces: TracesConfig,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(250),
            stall: Duration::from_secs(30),
            catch_up: CatchUpConfig::default(),
            r#async: AsyncConfig::default(),
            canary_events: 100,
            canary_slower: 3.0,
            canary_floor: Duration::from_millis(20),
            canary_errors: 0.1,
            canary_statements: 10.0,
            logs: LogConfig::default(),
            partitions: PartitionsConfig::default(),
            traces: TracesConfig::default(),
        }
    }
}

impl RunnerConfig {
    /// How new versions are tried.
    pub fn canary(&self) -> Canary {
        Canary {
            events: self.canary_events,
            slower: self.canary_slower,
            floor: self.canary_floor,
            errors: self.canary_errors,
            statements: self.canary_statements,
        }
    }

    /// Refuses what would make a runner stand still or spin.
    ///
    /// # Errors
    /// Names the setting and the least value that it takes.
    pub fn check(&self) -> anyhow::Result<()> {
        let (catch_up, queue) = (&self.catch_up, &self.r#async);
        for (name, value, least) in [
            ("runner.canary_events", self.canary_events, 0),
            ("runner.partitions.ahead", self.partitions.ahead.into(), 1),
            ("runner.catch_up.batch", catch_up.batch, 1),
            ("runner.catch_up.max_attempts", catch_up.max_attempts.into(), 1),
            ("runner.catch_up.stop_after", catch_up.stop_after.into(), 1),
            ("runner.async.batch", queue.batch, 1),
            ("runner.async.max_attempts", queue.max_attempts.into(), 1),
            ("runner.async.max_retries", queue.max_retries.into(), 1),
            ("runner.async.stop_after", queue.stop_after.into(), 1),
        ] {
            anyhow::ensure!(value >= least, "{name} is {value}, and must be at least {least}");
        }
        for (name, times) in [
            ("runner.canary_slower", self.canary_slower),
            ("runner.canary_errors", self.canary_errors),
            ("runner.canary_statements", self.canary_statements),
        ] {
            anyhow::ensure!(times >= 0.0, "{name} is {times}, and must be at least 0");
        }
        for (name, time) in [
            ("runner.poll", self.poll),
            ("runner.stall", self.stall),
            ("runner.partitions.every", self.partitions.every),
            ("runner.traces.every", self.traces.every),
            ("runner.catch_up.batch_time", catch_up.batch_time),
        ] {
            anyhow::ensure!(!time.is_zero(), "{name} must be longer than nothing");
        }
        if queue.workers == 0 {
            tracing::warn!("runner.async.workers is 0: this host delivers nothing from the outbox");
        }
        Ok(())
    }
}

/// How partitions of the log are made ahead.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartitionsConfig {
    /// Partitions that wait for events, from 1.
    pub ahead: i32,
    /// How often to look.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
}

impl Default for PartitionsConfig {
    fn default() -> Self {
        Self { ahead: DEFAULT_AHEAD, every: Duration::from_secs(30) }
    }
}

/// How long an event is known to belong to a trace.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// So long after an append the traces of its events are forgotten; `0s`: never.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// How often to look.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { keep: Duration::from_secs(30 * 24 * 3600), every: Duration::from_secs(60) }
    }
}

/// How catch-up projections work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatchUpConfig {
    /// Events in a batch, at most; batches grow and shrink below it.
    pub batch: i64,
    /// How long a batch may take, about: one that takes longer is followed by smaller ones.
    #[serde(with = "humantime_serde")]
    pub batch_time: Duration,
    /// Attempts at an event that fails alone before the projection stops, or sets it aside.
    pub max_attempts: u32,
    /// Whether each batch waits until it is on the server's disk. Without it that is left out where more events
    /// follow: what a crash of the server takes back is handled again, as tables and checkpoint go back together.
    pub synchronous_commit: bool,
    /// So often in a row the plugin may be stopped (by a trap, its time, or a limit) before the projection
    /// stops, whatever its events and settings are.
    pub stop_after: u32,
    /// The delay between attempts.
    pub backoff: Backoff,
}

impl Default for CatchUpConfig {
    fn default() -> Self {
        Self {
            batch: 2000,
            batch_time: Duration::from_millis(250),
            max_attempts: 3,
            synchronous_commit: false,
            stop_after: 20,
            backoff: Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(30) },
        }
    }
}

/// What of an async batch is one transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionMode {
    /// All of it: by far the fastest.
    #[default]
    Batch,
    /// Each event: locks are held for as short as can be, so other programs that write to the same rows
    /// wait for one event and not for hundreds. Costs a commit an event.
    Row,
}

/// How async projections work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsyncConfig {
    /// Workers that take rows from the outbox, in this host.
    pub workers: usize,
    /// Rows in a batch, at most.
    pub batch: i64,
    /// What of a batch is one transaction.
    pub transaction_mode: TransactionMode,
    /// Whether each transaction waits until it is on the server's disk. Without it, what a crash of the server takes
    /// back is delivered again, as tables and queue go back together. Process managers and reactors wait always.
    pub synchronous_commit: bool,
    /// Attempts at an event that fails by itself before it becomes a dead letter.
    pub max_attempts: i32,
    /// The same for an event that fails for reasons which can pass: locks, races, time-outs, and what
    /// the plugin calls `retry`.
    pub max_retries: i32,
    /// See [`CatchUpConfig::stop_after`].
    pub stop_after: u32,
    /// The delay between attempts.
    pub backoff: Backoff,
    /// After this time the claim of another program's worker counts as dead.
    #[serde(with = "humantime_serde")]
    pub foreign_lease: Duration,
}

impl AsyncConfig {
    /// Events in one transaction, where more than `most` are never wanted.
    pub(super) fn transaction(&self, most: i64) -> i64 {
        match self.transaction_mode {
            TransactionMode::Batch => self.batch.min(most),
            TransactionMode::Row => 1,
        }
    }
}

impl Default for AsyncConfig {
    fn default() -> Self {
        Self {
            workers: 1,
            batch: 500,
            transaction_mode: TransactionMode::Batch,
            synchronous_commit: false,
            max_attempts: 8,
            max_retries: 50,
            stop_after: 20,
            backoff: Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(300) },
            foreign_lease: Duration::from_secs(60),
        }
    }
}
