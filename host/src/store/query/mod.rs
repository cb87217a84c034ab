//! Asking the log for events by what they hold.

mod run;

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

pub(super) use self::run::reading;
use super::{Direction, EventStore};
use crate::event::{StreamId, TenantId};

/// How long a page of a query may take where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a query finds dismissed events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dismissed {
    /// They are left out.
    #[default]
    Without,
    /// They are among the others; [`crate::event::Event::dismissed_at`] tells them apart.
    Included,
    /// Nothing else is found.
    Only,
}

impl EventStore {
    /// A query for events of the log: of all of it, until it is narrowed.
    ///
    /// ```no_run
    /// # async fn f(store: eventfabric::store::EventStore) -> Result<(), Box<dyn std::error::Error>> {
    /// use serde_json::json;
    ///
    /// let large = store
    ///     .query()
    ///     .aggregate("Account")
    ///     .event_type("MoneyDeposited")
    ///     .occurred("2026-01-01T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>()?..)
    ///     .payload_path("$.cents > $least")
    ///     .path_variables(&json!({"least": 1_000_000}))
    ///     .newest_first()
    ///     .limit(20)
    ///     .load()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn query(&self) -> Query {
        Query::new(self.pool.clone())
    }
}

/// A query for events, made with [`EventStore::query`]: each condition narrows it, except that values
/// of one condition (types, kinds of aggregate, ids) are alternatives. It ends with
/// [`Query::stream`], [`Query::load`], [`Query::first`] or [`Query::count`].
///
/// A stream, correlation, causation or event id, a range of positions and a range of times are found
/// by an index. Types and payloads are looked for among the events that the other conditions leave.
///
/// Reads are read-only transactions, one a page of at most 500 events or 16 MiB of payload. Near the end
/// of the log an event with a smaller position can still appear (see [`EventStore::read_log`]).
#[derive(Clone)]
#[must_use = "a query does nothing until it is run"]
pub struct Query {
    pool: PgPool,
    /// The one tenant whose events it may find, and what keeps its store open.
    own: Option<(TenantId, Option<Arc<dyn Send + Sync>>)>,
    filter: Filter,
    direction: Direction,
    limit: Option<usize>,
    timeout: Duration,
}

/// The conditions, as the statements take them.
#[derive(Debug, Clone)]
struct Filter {
    after: i64,
    until: i64,
    tenant: Option<String>,
    aggregates: Option<Vec<String>>,
    aggregate_id: Option<String>,
    least_version: Option<i32>,
    greatest_version: Option<i32>,
    types: Option<Vec<String>>,
    since: Option<DateTime<Utc>>,
    before: Option<DateTime<Utc>>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    event_ids: Option<Vec<Uuid>>,
    contains: Option<String>,
    path: Option<String>,
    variables: Option<String>,
    dismissed: Dismissed,
    /// What could not be made into a condition; said when the query is run.
    invalid: Option<String>,
}

impl Query {
    fn new(pool: PgPool) -> Self {
        let filter = Filter {
            after: 0,
            until: i64::MAX,
            tenant: None,
            aggregates: None,
            aggregate_id: None,
            least_version: None,
            greatest_version: None,
            types: None,
            since: None,
            before: None,
            correlation_id: None,
            causation_id: None,
            event_ids: None,
            contains: None,
            path: None,
            variables: None,
            dismissed: Dismissed::default(),
            invalid: None,
        };
        let direction = Direction::Forward;
        Self { pool, own: None, filter, direction, limit: None, timeout: TIMEOUT }
    }

    /// A query of one tenant's store: one for another tenant is refused when it is run.
    pub(super) fn confined(self, tenant: TenantId, lease: Option<Arc<dyn Send + Sync>>) -> Self {
        Self { own: Some((tenant.clone(), lease)), ..self }.tenant(tenant.as_str())
    }

    /// Events of this tenant only.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.filter.tenant = Some(tenant.into());
        self
    }

    /// Events of this kind of aggregate; said again, of any of them.
    pub fn aggregate(mut self, aggregate: impl Into<String>) -> Self {
        self.filter.aggregates.get_or_insert_default().push(aggregate.into());
        self
    }

    /// Events of aggregates with this id, of whatever kind.
    pub fn aggregate_id(mut self, id: impl Into<String>) -> Self {
        self.filter.aggregate_id = Some(id.into());
        self
    }

    /// Events of this stream: its tenant, its aggregate and its id. Where versions that it asks for are
    /// in a detached partition it fails ([`StoreError::is_detached`](super::StoreError::is_detached)),
    /// whatever its other conditions are.
    pub fn of_stream(mut self, stream: StreamId) -> Self {
        self.filter.aggregates = Some(vec![stream.aggregate]);
        self.tenant(stream.tenant).aggregate_id(stream.id)
    }

    /// Events with these versions in their streams.
    pub fn versions(mut self, versions: impl RangeBounds<i32>) -> Self {
        self.filter.least_version = match versions.start_bound() {
            Bound::Included(least) => Some(*least),
            Bound::Excluded(below) => Some(below.saturating_add(1)),
            Bound::Unbounded => None,
        };
        self.filter.greatest_version = match versions.end_bound() {
            Bound::Included(greatest) => Some(*greatest),
            Bound::Excluded(above) => Some(above.saturating_sub(1)),
            Bound::Unbounded => None,
        };
        self
    }

    /// Events of this type; said again, of any of them.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.filter.types.get_or_insert_default().push(event_type.into());
        self
    }

    /// Events at these positions of the log.
    pub fn positions(mut self, positions: impl RangeBounds<i64>) -> Self {
        self.filter.after = match positions.start_bound() {
            Bound::Included(first) => first.saturating_sub(1),
            Bound::Excluded(after) => *after,
            Bound::Unbounded => 0,
        };
        self.filter.until = match positions.end_bound() {
            Bound::Included(last) => *last,
            Bound::Excluded(before) => before.saturating_sub(1),
            Bound::Unbounded => i64::MAX,
        };
        self
    }

    /// Events that happened in this time, to the microsecond.
    pub fn occurred(mut self, time: impl RangeBounds<DateTime<Utc>>) -> Self {
        // The statement takes times from the first on and before the last.
        let next = |time: &DateTime<Utc>| time.checked_add_signed(TimeDelta::microseconds(1));
        self.filter.since = match time.start_bound() {
            Bound::Included(since) => Some(*since),
            Bound::Excluded(after) => next(after),
            Bound::Unbounded => None,
        };
        self.filter.before = match time.end_bound() {
            Bound::Included(until) => next(until),
            Bound::Excluded(before) => Some(*before),
            Bound::Unbounded => None,
        };
        self
    }

    /// Events with this correlation id: what belongs together.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.filter.correlation_id = Some(id.into());
        self
    }

    /// Events with this causation id: what one event or command has caused.
    pub fn causation_id(mut self, id: impl Into<String>) -> Self {
        self.filter.causation_id = Some(id.into());
        self
    }

    /// The event with this id; said again, any of them. Ids that are in no event find nothing:
    /// [`EventStore::load_by_ids`] says which.
    pub fn event_id(mut self, id: Uuid) -> Self {
        self.filter.event_ids.get_or_insert_default().push(id);
        self
    }

    /// Events whose payload contains this JSON: objects with at least these members, arrays with
    /// at least these elements (PostgreSQL's `@>`). Numbers compare by value.
    pub fn payload_contains(mut self, part: &impl Serialize) -> Self {
        self.filter.contains = self.json(part, "what the payload contains");
        self
    }

    /// Events whose payload a SQL/JSON path finds something in (`$.lines[*] ? (@.sku == "x")`,
    /// PostgreSQL's `@?`), or for which the path is true where it is a predicate
    /// (`$.cents > 1000`, PostgreSQL's `@@`). Errors inside the path, such as a missing member in
    /// strict mode, find nothing.
    pub fn payload_path(mut self, path: impl Into<String>) -> Self {
        self.filter.path = Some(path.into());
        self
    }

    /// An object with the variables of [`Query::payload_path`]: `$least` in the path is `least`
    /// here. Values that come from outside belong here, and never in the path itself.
    pub fn path_variables(mut self, variables: &impl Serialize) -> Self {
        self.filter.variables = self.json(variables, "the variables of the path");
        self
    }

    /// Whether dismissed events are found.
    pub fn dismissed(mut self, dismissed: Dismissed) -> Self {
        self.filter.dismissed = dismissed;
        self
    }

    /// In the order of positions, which is the default, or against it.
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// The last event of the log first.
    pub fn newest_first(self) -> Self {
        self.direction(Direction::Backward)
    }

    /// So many events at most.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How long each page may take; 30 s where nothing is said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn json(&mut self, value: &impl Serialize, what: &str) -> Option<String> {
        match serde_json::to_string(value) {
            Ok(text) => Some(text),
            Err(error) => {
                self.filter.invalid = Some(format!("{what} cannot be written as JSON: {error}"));
                None
            }
        }
    }
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query")
            .field("filter", &self.filter)
            .field("direction", &self.direction)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    /// From WHERE to the end of the conditions.
    fn conditions(statement: &str) -> &str {
        let from = statement.find("WHERE").unwrap();
        let end = statement.find("\nORDER BY").or(statement.find("\nLIMIT")).unwrap();
        &statement[from..end]
    }

    #[test]
    fn pages_and_counts_have_the_same_conditions() {
        let forward = include_str!("../sql/query_forward.sql");
        let backward = include_str!("../sql/query_backward.sql");
        let count = include_str!("../sql/query_count.sql");
        assert!(conditions(forward).contains("$20::bool"));
        assert_eq!(conditions(forward), conditions(backward));
        assert_eq!(conditions(forward), conditions(count));
    }
}
