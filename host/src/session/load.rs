//! Making an aggregate from its snapshot and the events after it.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, pin_mut};

use super::aggregate::Aggregate;
use super::error::SessionError;
use super::event::decode;
use super::setup::{AggregateSetup, LastSnapshot, Restored};
use super::tracked::Tracked;
use crate::event::StreamId;
use crate::store::{Direction, EventStore, Snapshot};
use crate::upcast::Upcasters;

/// Loads an aggregate; `None` for a stream that was never started. With `dismissed` events it is made
/// of all events, for snapshots leave those out.
pub(super) async fn load<A: Aggregate>(
    store: &EventStore,
    upcasters: &Upcasters,
    setup: &Arc<AggregateSetup<A>>,
    stream: StreamId,
    dismissed: bool,
) -> Result<Option<Tracked<A>>, SessionError> {
    let snapshots = setup.snapshots.is_some() && !dismissed;
    let Some(head) = store.stream_head(&stream, snapshots).await? else {
        return Ok(None);
    };
    let mut tracked = Tracked::new(stream, setup.clone());
    tracked.dismissed = dismissed;
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
            let (stream, from) = (self.stream.clone(), Some(self.version + 1));
            let events = match self.dismissed {
                true => {
                    store.read_stream_with_dismissed(stream, Direction::Forward, from).left_stream()
                }
                false => store.read_stream(stream, Direction::Forward, from).right_stream(),
            };
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
