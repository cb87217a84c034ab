//! How a rebuild gets on, for who watches it.

use crate::store::rebuild::ShardPosition;

/// How a rebuild gets on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuildProgress {
    /// It goes on with what an earlier one has left.
    pub resumed: bool,
    /// The position after which it began.
    pub starts_after: i64,
    /// Where it has to come to, as far as is known.
    pub target: i64,
    /// How far each part of it has come.
    pub positions: Vec<i64>,
    /// Events that were handed to the plugin.
    pub events: i64,
    /// The rebuilt tables are being put into their place.
    pub replacing: bool,
}

impl RebuildProgress {
    pub(super) fn begin(resumed: bool, starts_after: i64, shards: &[ShardPosition]) -> Self {
        Self {
            resumed,
            starts_after,
            positions: shards.iter().map(|shard| shard.position).collect(),
            events: shards.iter().map(|shard| shard.events).sum(),
            ..Self::default()
        }
    }

    /// Positions of the log that are to be read, and how many of them were, on the average of the parts.
    pub fn positions(&self) -> (u64, u64) {
        let whole = (self.target - self.starts_after).max(0).unsigned_abs();
        let parts = self.positions.len().max(1) as u64;
        let read: u64 = self
            .positions
            .iter()
            .map(|position| (position - self.starts_after).max(0).unsigned_abs())
            .sum();
        (whole, (read / parts).min(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_average_of_the_parts_and_never_more_than_the_whole() {
        let mut progress = RebuildProgress {
            starts_after: 100,
            target: 300,
            positions: vec![150, 250],
            ..RebuildProgress::default()
        };
        assert_eq!(progress.positions(), (200, 100));
        progress.positions = vec![400, 400];
        assert_eq!(progress.positions(), (200, 200));
        assert_eq!(RebuildProgress::default().positions(), (0, 0));
    }
}
