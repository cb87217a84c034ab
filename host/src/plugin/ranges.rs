//! Which version of a catch-up projection has handled which events.

use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::PgExecutor;

/// Positions of the log that a version has handled, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The SHA-256 of the version, in hex.
    pub version: String,
    /// Of this tenant's events.
    pub tenant: String,
    /// Which part of its streams, from 0.
    pub shard: i32,
    /// Of how many.
    pub shards: i32,
    /// The first position.
    pub first: i64,
    /// The last position until now.
    pub last: i64,
}

/// What each version has handled, as it was written with the checkpoints. What a rebuild has filled is the
/// version's that has filled it.
///
/// # Errors
/// The database's.
pub async fn ranges(executor: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Vec<Range>> {
    sqlx::query_file_as!(Range, "src/plugin/sql/ranges.sql", name).fetch_all(executor).await
}

impl Range {
    /// Ranges for people: the positions themselves where there is one tenant and one shard.
    pub fn told(ranges: &[Self]) -> String {
        let parts: BTreeSet<_> = ranges.iter().map(|range| (&range.tenant, range.shard)).collect();
        match (ranges.iter().map(|r| r.first).min(), ranges.iter().map(|r| r.last).max()) {
            (Some(first), Some(last)) if parts.len() > 1 => {
                format!("{first}-{last} in {} tenants or shards", parts.len())
            }
            (None, _) => "-".to_owned(),
            _ => ranges
                .iter()
                .map(|range| format!("{}-{}", range.first, range.last))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(tenant: &str, first: i64, last: i64) -> Range {
        let (version, tenant) = ("v".to_owned(), tenant.to_owned());
        Range { version, tenant, shard: 0, shards: 1, first, last }
    }

    #[test]
    fn ranges_are_told_one_by_one_where_there_is_one_tenant() {
        assert_eq!(Range::told(&[]), "-");
        assert_eq!(Range::told(&[range("a", 1, 9), range("a", 20, 30)]), "1-9, 20-30");
        let two = [range("a", 1, 9), range("b", 4, 12)];
        assert_eq!(Range::told(&two), "1-12 in 2 tenants or shards");
    }
}
