//! Making an aggregate from its snapshot and the events after it.

use std::sync::Arc;

use futures::{TryStreamExt as _, pin_mut};

use super::aggregate::Aggregate;
use super::error::SessionError;
use super::event::decode;
use super::setup::{AggregateSetup, LastSnapshot, Restored};
use super::tracked::Tracked;
use crate::event::StreamId;
use crate::store::{Direction, EventStore, Snapshot};
use crate::upcast::Upcasters;

/// Loads an aggregate; `None` for a stream that was never started. Dismissed events are left out.
pub(super) async fn load<A: Aggregate>(
    store: &EventStore,
    upcasters: &Upcasters,
    setup: &Arc<AggregateSetup<A>>,
    stream: StreamId,
) -> Result<Option<Tracked<A>>, SessionError> {
    let Some(head) = store.stream_head(&stream, setup.snapshots.is_some()).await? else {
        return Ok(None);
    };
    let mut tracked = Tracked::new(stream, setup.clone());
    if let Some(snapshot) = &head.snapshot {
        tracked.restore(head.version, snapshot);
    }
    tracked.catch_up(store, upcasters, head.version).await?;
    Ok(Some(tracked))
}

/// Makes an aggregate from its events alone.
pub(super) async fn load_whole<A: Aggregate>(
    store: &EventStore,
    upcasters: &Upcasters,
    setup: &Arc<AggregateSetup<A>>,
    stream: StreamId,
) -> Result<Option<Tracked<A>>, SessionError> {
    let Some(head) = store.stream_head(&stream, false).await? else { return Ok(None) };
    let mut tracked = Tracked::new(stream, setup.clone());
    tracked.catch_up(store, upcasters, head.version).await?;
    Ok(Some(tracked))
}

impl<A: Aggregate> Tracked<A> {
    fn restore(&mut self, stream_version: i32, snapshot: &Snapshot) {
        let Some(setup) = &self.setup.snapshots else { return };
        let last = LastSnapshot {
            version: snapshot.version,
            written_at: Some(snapshot.created_at),
            wanted: false,
        };
        match setup.restore(&self.stream, stream_version, snapshot) {
            Restored::State(state) => {
                self.state = state;
                self.version = snapshot.version;
                self.whole = false;
                self.last_snapshot = last;
            }
            Restored::Replace => self.last_snapshot.wanted = true,
            Restored::Leave => self.last_snapshot = last,
        }
    }

    /// Applies the events up to `version`.
    async fn catch_up(
        &mut self,
        store: &EventStore,
        upcasters: &Upcasters,
        version: i32,
    ) -> Result<(), SessionError> {
        if self.version < version {
            let events =
                store.read_stream(self.stream.clone(), Direction::Forward, Some(self.version + 1));
            pin_mut!(events);
            while let Some(event) = events.try_next().await? {
                let at = event.version;
                // What came after the head was read belongs to the next load.
                if at > version {
                    break;
                }
                let event = decode(event, upcasters).map_err(|source| SessionError::Decode {
                    stream: Box::new(self.stream.clone()),
                    version: at,
                    source,
                })?;
                self.state.apply(&event);
            }
        }
        self.version = version;
        Ok(())
    }
}
