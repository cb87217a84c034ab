//! What a factory is told of a kind of aggregate.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::aggregate::Aggregate;
use crate::event::StreamId;
use crate::store::Snapshot;
use crate::upcast::StepError;

/// When a save writes a snapshot. Whatever the policy, [`Session::snapshot`](super::Session::snapshot)
/// asks for one by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPolicy {
    every: Option<u32>,
    older_than: Option<Duration>,
}

impl SnapshotPolicy {
    /// Only by hand.
    pub const BY_HAND: Self = Self { every: None, older_than: None };

    /// When at least `events` (from 1) have been added since the last snapshot, or since the
    /// beginning.
    pub const fn every(events: u32) -> Self {
        Self { every: Some(events), older_than: None }
    }

    /// When the last snapshot is older than this, or there is none.
    pub const fn older_than(age: Duration) -> Self {
        Self { every: None, older_than: Some(age) }
    }

    /// Also when the last snapshot is older than this.
    pub const fn or_older_than(self, age: Duration) -> Self {
        Self { older_than: Some(age), ..self }
    }

    /// Whether one is due after the event of `version`.
    pub(super) fn is_due(self, version: i32, last: &LastSnapshot, now: DateTime<Utc>) -> bool {
        let added = version - last.version;
        if added <= 0 {
            return false;
        }
        let enough = self.every.is_some_and(|every| i64::from(added) >= i64::from(every));
        let old = self.older_than.is_some_and(|age| {
            last.written_at.is_none_or(|at| (now - at).to_std().is_ok_and(|old| old > age))
        });
        enough || old
    }
}

/// What is known of the snapshot that a stream has.
#[derive(Debug, Clone, Default)]
pub(super) struct LastSnapshot {
    /// 0 where there is none that counts.
    pub(super) version: i32,
    pub(super) written_at: Option<DateTime<Utc>>,
    /// The next save writes one, whatever the policy says.
    pub(super) wanted: bool,
}

/// How a kind of aggregate is stored; see [`Builder::aggregate`](super::Builder::aggregate).
pub struct AggregateSetup<A> {
    pub(super) topic: Option<String>,
    pub(super) snapshots: Option<SnapshotSetup<A>>,
}

type Lift = Box<dyn Fn(Value) -> Result<Value, StepError> + Send + Sync>;

/// How its snapshots are made and read.
pub(super) struct SnapshotSetup<A> {
    pub(super) policy: SnapshotPolicy,
    pub(super) schema_version: i32,
    pub(super) write: fn(&A) -> serde_json::Result<String>,
    read: fn(Value) -> serde_json::Result<A>,
    steps: BTreeMap<i32, Lift>,
}

impl<A: Aggregate> AggregateSetup<A> {
    pub(super) fn new() -> Self {
        Self { topic: None, snapshots: None }
    }

    /// The label of its events in the outbox, which async projections may choose by.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Has snapshots written and used. The state's schema version is `schema_version`, from 1: when
    /// the state's JSON changes, raise it. Older snapshots are then lifted by
    /// [`AggregateSetup::upcast_snapshot`] where there is a way, and else made anew from the events.
    #[must_use]
    pub fn snapshots(mut self, policy: SnapshotPolicy, schema_version: i32) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        let steps = self.snapshots.map(|setup| setup.steps).unwrap_or_default();
        self.snapshots = Some(SnapshotSetup {
            policy,
            schema_version,
            write: |state| serde_json::to_string(state),
            read: |state| serde_json::from_value(state),
            steps,
        });
        self
    }

    /// Lifts the state of a snapshot from schema version `from` to `from + 1`. Comes after
    /// [`AggregateSetup::snapshots`]; without that it does nothing.
    #[must_use]
    pub fn upcast_snapshot(
        mut self,
        from: i32,
        lift: impl Fn(Value) -> Result<Value, StepError> + Send + Sync + 'static,
    ) -> Self {
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.steps.insert(from, Box::new(lift));
        }
        self
    }
}

/// What became of a snapshot that was read.
pub(super) enum Restored<A> {
    /// The state.
    State(A),
    /// It is not used, and the next save writes another one.
    Replace,
    /// It is not used, but left to the program that wrote it.
    Leave,
}

impl<A> SnapshotSetup<A> {
    /// The state of a snapshot, unless it can't be used: that is told to the log, never to the caller,
    /// as the events say the same.
    pub(super) fn restore(
        &self,
        stream: &StreamId,
        stream_version: i32,
        snapshot: &Snapshot,
    ) -> Restored<A> {
        let Snapshot { version, schema_version, .. } = snapshot;
        let current = self.schema_version;
        if snapshot.rebuild_requested {
            tracing::debug!(%stream, version, "a snapshot is made anew, as was asked for");
            return Restored::Replace;
        }
        if *schema_version > current {
            tracing::warn!(
                %stream, version, schema_version, current,
                "a snapshot of a newer program is ignored; all events are read instead"
            );
            return Restored::Leave;
        }
        if *version > stream_version {
            tracing::warn!(
                %stream, version, stream_version,
                "a snapshot that is newer than its stream is ignored; all events are read instead"
            );
            return Restored::Replace;
        }
        match self.read_lifted(snapshot) {
            Ok(Some(state)) => Restored::State(state),
            Ok(None) => {
                tracing::debug!(
                    %stream, version, schema_version, current,
                    "a snapshot of an older schema is discarded, and made anew from the events"
                );
                Restored::Replace
            }
            Err(error) => {
                tracing::warn!(
                    %stream, version, error,
                    "a damaged snapshot is ignored; all events are read instead"
                );
                Restored::Replace
            }
        }
    }

    /// `None` where a step is missing.
    fn read_lifted(&self, snapshot: &Snapshot) -> Result<Option<A>, StepError> {
        let steps =
            (snapshot.schema_version..self.schema_version).map(|from| self.steps.get(&from));
        let Some(steps) = steps.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let mut state: Value = serde_json::from_str(&snapshot.state)?;
        for lift in steps {
            state = lift(state)?;
        }
        Ok(Some((self.read)(state)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_by_events_since_the_last_one_or_by_age() {
        let now = Utc::now();
        let last = |version, seconds: Option<i64>| LastSnapshot {
            version,
            written_at: seconds.map(|seconds| now - chrono::TimeDelta::seconds(seconds)),
            wanted: false,
        };
        let every = SnapshotPolicy::every(50);
        assert!(!every.is_due(49, &last(0, None), now));
        assert!(every.is_due(51, &last(0, None), now), "not only at multiples");
        assert!(!every.is_due(100, &last(51, Some(1)), now), "a multiple, but too early");
        assert!(every.is_due(101, &last(51, Some(1)), now));
        let aged = SnapshotPolicy::older_than(Duration::from_secs(60));
        assert!(aged.is_due(1, &last(0, None), now));
        assert!(!aged.is_due(9, &last(8, Some(59)), now));
        assert!(aged.is_due(9, &last(8, Some(61)), now));
        assert!(!aged.is_due(8, &last(8, Some(61)), now), "nothing was added");
        assert!(every.or_older_than(Duration::ZERO).is_due(9, &last(8, Some(1)), now));
        assert!(!SnapshotPolicy::BY_HAND.is_due(1000, &last(0, None), now));
    }
}
