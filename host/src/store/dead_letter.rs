//! Events that a projection could not handle for good.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::StoreError;
use super::read::{LogFilter, log_page};
use super::trace::add_traces;
use crate::event::Event;

/// A dead letter.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DeadLetter {
    /// Its number, for `dlq requeue`.
    pub id: i64,
    /// The projection that failed; none in a letter of the TypeScript library.
    pub projection: Option<String>,
    /// The version of the plugin that failed last.
    pub plugin_version: Option<String>,
    /// The place of the event in the log.
    pub position: i64,
    /// The tenant of the event.
    pub tenant: String,
    /// Its label in the outbox.
    pub topic: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it failed last.
    pub error: Option<String>,
    /// What kind of failure that was: `poison`, `fatal`, `retry` or `trap`; none in a letter of the
    /// TypeScript library.
    pub error_class: Option<String>,
    /// What the database said of the statement that failed, where one did.
    pub sqlstate: Option<String>,
    /// That statement.
    pub failed_sql: Option<String>,
    /// The first failure.
    pub first_failed_at: Option<DateTime<Utc>>,
    /// When it was given up.
    pub dead_lettered_at: DateTime<Utc>,
    /// The type of the event.
    pub event_type: Option<String>,
    /// The kind of its aggregate.
    pub aggregate: Option<String>,
    /// Its aggregate.
    pub aggregate_id: Option<String>,
    /// Its place in its stream.
    pub version: Option<i32>,
}

/// Which dead letters; the default is all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LetterFilter<'a> {
    /// Only these.
    pub ids: Option<&'a [i64]>,
    /// Only those of this projection.
    pub projection: Option<&'a str>,
    /// Only those of this tenant's events.
    pub tenant: Option<&'a str>,
    /// Only those that are older than this one.
    pub before: Option<i64>,
    /// Only those of this class of errors.
    pub error_class: Option<&'a str>,
    /// Only those of events from this position on.
    pub from_position: Option<i64>,
    /// Only those of events up to this position.
    pub to_position: Option<i64>,
    /// Only those that were given up at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only those that were given up before this time.
    pub until: Option<DateTime<Utc>>,
}

impl LetterFilter<'_> {
    /// All letters.
    pub const ALL: Self = LetterFilter {
        ids: None,
        projection: None,
        tenant: None,
        before: None,
        error_class: None,
        from_position: None,
        to_position: None,
        since: None,
        until: None,
    };
}

/// The newest dead letters that match.
pub async fn dead_letters(
    executor: impl PgExecutor<'_>,
    filter: &LetterFilter<'_>,
    limit: i64,
) -> sqlx::Result<Vec<DeadLetter>> {
    sqlx::query_file_as!(
        DeadLetter,
        "src/store/sql/dead_letters.sql",
        filter.ids,
        filter.projection,
        filter.tenant,
        filter.before,
        filter.error_class,
        filter.from_position,
        filter.to_position,
        filter.since,
        filter.until,
        limit
    )
    .fetch_all(executor)
    .await
}

/// One dead letter with its event, where that is still in the log; of this tenant, where one is named.
pub async fn dead_letter(
    pool: &PgPool,
    id: i64,
    tenant: Option<&str>,
) -> Result<Option<(DeadLetter, Option<Event>)>, StoreError> {
    let filter = LetterFilter { ids: Some(&[id]), tenant, ..LetterFilter::ALL };
    let Some(letter) = dead_letters(pool, &filter, 1).await?.pop() else { return Ok(None) };
    let place = LogFilter {
        after: letter.position - 1,
        until: Some(letter.position),
        dismissed: true,
        ..LogFilter::default()
    };
    let mut events = log_page(pool, &place, 1).await?.events;
    add_traces(pool, &mut events).await?;
    Ok(Some((letter, events.pop())))
}

/// Gives dead letters back to the projection that failed, and to no other. Those of one stream are tried
/// in its order. Answers how many.
pub async fn requeue(
    executor: impl PgExecutor<'_>,
    filter: &LetterFilter<'_>,
) -> sqlx::Result<i64> {
    let row = sqlx::query_file!(
        "src/store/sql/dead_letter_requeue.sql",
        filter.ids,
        filter.projection,
        filter.tenant,
        filter.before,
        filter.error_class,
        filter.from_position,
        filter.to_position,
        filter.since,
        filter.until
    )
    .fetch_one(executor)
    .await?;
    Ok(row.requeued)
}

/// Deletes dead letters for good: their projections never get these events. Answers how many.
pub async fn purge(executor: impl PgExecutor<'_>, filter: &LetterFilter<'_>) -> sqlx::Result<i64> {
    let done = sqlx::query_file!(
        "src/store/sql/dead_letter_purge.sql",
        filter.ids,
        filter.projection,
        filter.tenant,
        filter.before,
        filter.error_class,
        filter.from_position,
        filter.to_position,
        filter.since,
        filter.until
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected().cast_signed())
}

/// Why an event is given up.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// What went wrong.
    pub error: &'a str,
    /// `poison`, `fatal`, `retry` or `trap`.
    pub class: &'a str,
    /// What the database said of the statement that failed, where one did.
    pub sqlstate: Option<&'a str>,
    /// That statement.
    pub sql: Option<&'a str>,
}

/// Gives an event up: its retry becomes a dead letter.
pub async fn bury(
    conn: &mut PgConnection,
    projection: &str,
    version: &str,
    position: i64,
    attempts: i32,
    cause: &Cause<'_>,
) -> sqlx::Result<()> {
    let Cause { error, class, sqlstate, sql } = *cause;
    sqlx::query_file!(
        "src/store/sql/retry_bury.sql",
        projection,
        position,
        attempts,
        error,
        class,
        sqlstate,
        sql,
        version
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives an event up that has no retry: for a projection that sets it aside in its own transaction.
/// `failing` is the time since the first failure. An older letter of the same event and projection
/// goes. [`requeue`] makes a retry of it, as of any other letter.
pub async fn bury_new(
    conn: &mut PgConnection,
    projection: &str,
    version: &str,
    event: &Event,
    attempts: i32,
    failing: Duration,
    cause: &Cause<'_>,
) -> sqlx::Result<()> {
    let Cause { error, class, sqlstate, sql } = *cause;
    sqlx::query_file!(
        "src/store/sql/letter_new.sql",
        projection,
        version,
        event.position,
        event.stream.tenant,
        event.stream.aggregate,
        event.stream.id,
        event.topic,
        attempts,
        error,
        class,
        sqlstate,
        sql,
        failing.as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(())
}
