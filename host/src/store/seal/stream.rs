//! One stream against its seals: a value that is shown the rows in their order and says what does not
//! fit. No database in here.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Seal;
use super::chain::{Bytes, Content, Link};
use super::verify::{Head, Problem};
use crate::event::StreamId;

/// A version of a stream: its event and its seal, either of which may be missing.
pub(super) struct Row {
    pub(super) version: i32,
    pub(super) position: Option<i64>,
    pub(super) event_id: Option<Uuid>,
    pub(super) event_type: Option<String>,
    pub(super) schema_version: Option<i32>,
    pub(super) payload: Option<String>,
    pub(super) occurred_at: Option<DateTime<Utc>>,
    pub(super) correlation_id: Option<String>,
    pub(super) causation_id: Option<String>,
    pub(super) previous_version: Option<i32>,
    pub(super) sealed_position: Option<i64>,
    pub(super) key_id: Option<String>,
    pub(super) mac: Option<Vec<u8>>,
    pub(super) detached: bool,
}

/// The seal that is stored for a version.
struct Stored {
    previous: i32,
    key_id: String,
    seal: Bytes,
}

/// Follows the chain of one stream.
pub(super) struct Chain<'a> {
    seal: &'a Seal,
    stream: &'a StreamId,
    /// The last version that was seen.
    pub(super) version: i32,
    last: Link,
    /// The last versions that are known to be removed.
    gap: std::ops::RangeInclusive<i32>,
    /// Events that have no seal: not sealed, or robbed of it.
    pub(super) unsealed: u64,
    pub(super) events: u64,
    pub(super) detached: u64,
}

impl<'a> Chain<'a> {
    /// No version at all.
    #[expect(clippy::reversed_empty_ranges, reason = "empty on purpose")]
    const NO_GAP: std::ops::RangeInclusive<i32> = 0..=-1;

    pub(super) fn new(seal: &'a Seal, stream: &'a StreamId) -> Self {
        let (version, last) = (0, Link::default());
        let gap = Self::NO_GAP;
        Self { seal, stream, version, last, gap, unsealed: 0, events: 0, detached: 0 }
    }

    /// Where the chain ends; none where nothing is sealed.
    pub(super) fn head(&self) -> Option<Head> {
        (self.last.version > 0).then(|| Head {
            tenant: self.stream.tenant.clone(),
            aggregate: self.stream.aggregate.clone(),
            id: self.stream.id.clone(),
            version: self.last.version,
            seal: hex::encode(self.last.seal),
        })
    }

    /// These versions were removed, and it was said.
    pub(super) fn gap(&mut self, from: i32, to: i32) {
        self.gap = from..=to;
    }

    /// The next row. What it shows to be wrong, with the version that it is about.
    pub(super) fn next(&mut self, row: &Row) -> Vec<(i32, Problem)> {
        let mut problems = Vec::new();
        if row.version == self.version {
            // A second event of this version: the first one has the seal's position.
            self.events += 1;
            problems.push((row.version, Problem::Inserted));
            return problems;
        }
        self.version = row.version;
        let Some(stored) = stored(row) else {
            self.events += 1;
            self.unsealed += 1;
            return problems;
        };
        let whole = stored.previous == self.last.version;
        if stored.previous < self.last.version {
            // It does not know of the one before it.
            problems.push((row.version, Problem::Changed));
        } else if !whole && !self.gap.contains(&stored.previous) {
            problems.push((stored.previous, Problem::SealMissing));
        }
        match self.content(row) {
            None if row.detached => self.detached += 1,
            None => problems.push((row.version, Problem::Removed)),
            Some(event) => {
                self.events += 1;
                if row.position != row.sealed_position {
                    problems.push((row.version, Problem::Changed));
                } else if whole {
                    match self.seal.key(&stored.key_id) {
                        None => problems.push((row.version, Problem::UnknownKey(stored.key_id))),
                        Some(mac) if !mac.fits(self.last, &event, &stored.seal) => {
                            problems.push((row.version, Problem::Changed));
                        }
                        Some(_) => {}
                    }
                }
                // (Without the seal before it nothing can be said of the event.)
            }
        }
        self.last = Link { version: row.version, seal: stored.seal };
        problems
    }

    fn content<'r>(&self, row: &'r Row) -> Option<Content<'r>>
    where
        'a: 'r,
    {
        Some(Content {
            stream: self.stream,
            version: row.version,
            position: row.position?,
            event_id: row.event_id?,
            event_type: row.event_type.as_deref()?,
            schema_version: row.schema_version?,
            payload: row.payload.as_deref()?,
            occurred_at: row.occurred_at?,
            correlation_id: row.correlation_id.as_deref(),
            causation_id: row.causation_id.as_deref(),
        })
    }
}

fn stored(row: &Row) -> Option<Stored> {
    Some(Stored {
        previous: row.previous_version?,
        key_id: row.key_id.clone()?,
        seal: row.mac.as_deref()?.try_into().ok()?,
    })
}
