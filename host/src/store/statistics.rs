//! What is in the log, and what still waits to be delivered.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::query::reading;
use super::{EventStore, StoreError};

/// Statistics read the whole log.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What is in the log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Statistics {
    /// All events.
    #[serde(flatten)]
    pub total: Tally,
    /// Streams.
    pub streams: i64,
    /// By the type of the event, in the order of names.
    pub types: Vec<TypeStatistics>,
    /// By the kind of aggregate, in the order of names.
    pub aggregates: Vec<AggregateStatistics>,
}

/// Some events, counted. Dismissed ones count as events, and are counted apart as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Events.
    pub events: i64,
    /// Those of them that are dismissed.
    pub dismissed: i64,
    /// The first event.
    pub first_position: Option<i64>,
    /// The last event that is visible.
    pub last_position: Option<i64>,
    /// The earliest time.
    pub first_occurred_at: Option<DateTime<Utc>>,
    /// The latest time.
    pub last_occurred_at: Option<DateTime<Utc>>,
}

/// The events of one type.
#[derive(Debug, Clone, Serialize)]
pub struct TypeStatistics {
    /// The type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The versions of the payload's schema that there are, ascending.
    pub schema_versions: Vec<i32>,
    /// Its events.
    #[serde(flatten)]
    pub tally: Tally,
}

/// The events of one kind of aggregate.
#[derive(Debug, Clone, Serialize)]
pub struct AggregateStatistics {
    /// The kind, such as `Account`.
    pub aggregate: String,
    /// Streams of that kind.
    pub streams: i64,
    /// Their events.
    #[serde(flatten)]
    pub tally: Tally,
}

impl Tally {
    fn add(&mut self, other: Self) {
        // None is less than any other, so the least of two must leave it out.
        fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            a.into_iter().chain(b).min()
        }
        self.events += other.events;
        self.dismissed += other.dismissed;
        self.first_position = least(self.first_position, other.first_position);
        self.last_position = self.last_position.max(other.last_position);
        self.first_occurred_at = least(self.first_occurred_at, other.first_occurred_at);
        self.last_occurred_at = self.last_occurred_at.max(other.last_occurred_at);
    }
}

/// What still waits to be delivered.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Backlog {
    /// Rows of the outbox.
    pub rows: i64,
    /// When the oldest of them was written.
    pub oldest_at: Option<DateTime<Utc>>,
    /// How old it is, by the clock of the database.
    pub oldest_seconds: Option<f64>,
    /// Rows that were delivered so far, as the server counts them: it is told a second later, and may begin
    /// anew.
    pub delivered: i64,
    /// The rows by topic.
    pub topics: Vec<TopicBacklog>,
    /// Events that one projection tries again, or has given up.
    pub projections: Vec<ProjectionBacklog>,
}

/// The rows of the outbox under one topic.
#[derive(Debug, Clone, Serialize)]
pub struct TopicBacklog {
    /// The topic; none for rows without.
    pub topic: Option<String>,
    /// Rows.
    pub rows: i64,
    /// Those of them that a worker of the TypeScript library has claimed.
    pub claimed: i64,
    /// When the oldest row was written.
    pub oldest_at: DateTime<Utc>,
    /// How old it is, by the clock of the database.
    pub oldest_seconds: f64,
}

/// What one projection still has to do by itself.
#[derive(Debug, Clone, Serialize)]
pub struct ProjectionBacklog {
    /// The projection; none for dead letters of the TypeScript library, which stand for all.
    pub projection: Option<String>,
    /// Events that wait for another attempt.
    pub retries: i64,
    /// Events that were given up.
    pub dead_letters: i64,
    /// The earliest failure among them.
    pub first_failed_at: Option<DateTime<Utc>>,
    /// The next attempt.
    pub next_attempt_at: Option<DateTime<Utc>>,
}

impl EventStore {
    /// Counts the log, or the events of one tenant, by type and by kind of aggregate: all of one
    /// moment. It reads every event, so it takes its time (10 minutes at most).
    ///
    /// # Errors
    /// [`StoreError::QueryTimedOut`], [`StoreError::Database`].
    pub async fn statistics(&self, tenant: Option<&str>) -> Result<Statistics, StoreError> {
        let (rows, streams) = reading(&self.pool, TIMEOUT, async |conn| {
            let rows = sqlx::query_file!("src/store/sql/statistics.sql", tenant as Option<&str>)
                .fetch_all(&mut *conn)
                .await?;
            let streams =
                sqlx::query_file!("src/store/sql/statistics_streams.sql", tenant as Option<&str>)
                    .fetch_all(conn)
                    .await?;
            Ok((rows, streams))
        })
        .await?;
        let mut found = Statistics::default();
        let mut aggregates: BTreeMap<String, AggregateStatistics> = BTreeMap::new();
        for row in streams {
            found.streams += row.streams;
            aggregate(&mut aggregates, row.aggregate).streams = row.streams;
        }
        for row in rows {
            let tally = Tally {
                events: row.events,
                dismissed: row.dismissed,
                first_position: row.first_position,
                last_position: row.last_position,
                first_occurred_at: row.first_occurred_at,
                last_occurred_at: row.last_occurred_at,
            };
            match (row.event_type, row.schema_version, row.aggregate) {
                (Some(event_type), Some(version), _) => match found.types.last_mut() {
                    Some(last) if last.event_type == event_type => {
                        last.schema_versions.push(version);
                        last.tally.add(tally);
                    }
                    _ => {
                        let schema_versions = vec![version];
                        found.types.push(TypeStatistics { event_type, schema_versions, tally });
                    }
                },
                (_, _, Some(name)) => aggregate(&mut aggregates, name).tally = tally,
                _ => found.total = tally,
            }
        }
        found.types.sort_by(|a, b| a.event_type.cmp(&b.event_type));
        found.aggregates = aggregates.into_values().collect();
        Ok(found)
    }

    /// What still waits to be delivered to async projections, of all tenants or of one. (How far
    /// catch-up projections are behind is told by `eventfabric projections status`.)
    ///
    /// # Errors
    /// [`StoreError::QueryTimedOut`], [`StoreError::Database`].
    pub async fn backlog(&self, tenant: Option<&str>) -> Result<Backlog, StoreError> {
        let (topics, projections, delivered) = reading(&self.pool, TIMEOUT, async |conn| {
            let topics = sqlx::query_file_as!(
                TopicBacklog,
                "src/store/sql/backlog_topics.sql",
                tenant as Option<&str>
            );
            let topics = topics.fetch_all(&mut *conn).await?;
            let projections = sqlx::query_file_as!(
                ProjectionBacklog,
                "src/store/sql/backlog_projections.sql",
                tenant as Option<&str>
            );
            let projections = projections.fetch_all(&mut *conn).await?;
            let delivered =
                sqlx::query_file!("src/store/sql/backlog_delivered.sql").fetch_one(conn).await?;
            Ok((topics, projections, delivered.rows))
        })
        .await?;
        Ok(Backlog {
            rows: topics.iter().map(|topic| topic.rows).sum(),
            oldest_at: topics.iter().map(|topic| topic.oldest_at).min(),
            oldest_seconds: topics.iter().map(|topic| topic.oldest_seconds).reduce(f64::max),
            delivered,
            topics,
            projections,
        })
    }
}

fn aggregate(
    known: &mut BTreeMap<String, AggregateStatistics>,
    aggregate: String,
) -> &mut AggregateStatistics {
    known.entry(aggregate.clone()).or_insert_with(|| AggregateStatistics {
        aggregate,
        streams: 0,
        tally: Tally::default(),
    })
}
