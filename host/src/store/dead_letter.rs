//! Events that a projection could not handle for good.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

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
}

/// Which dead letters; the default is all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct LetterFilter<'a> {
    /// Only these.
    pub ids: Option<&'a [i64]>,
    /// Only those of this projection.
    pub projection: Option<&'a str>,
    /// Only those of this tenant's events.
    pub tenant: Option<&'a str>,
    /// Only those that are older than this one.
    pub before: Option<i64>,
}

/// The newest dead letters that match.
pub async fn dead_letters(
    executor: impl PgExecutor<'_>,
    filter: &LetterFilter<'_>,
    limit: i64,
) -> sqlx::Result<Vec<DeadLetter>> {
    let LetterFilter { ids, projection, tenant, before } = *filter;
    sqlx::query_file_as!(
        DeadLetter,
        "src/store/sql/dead_letters.sql",
        ids,
        projection,
        tenant,
        before,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Gives dead letters back to the projection that failed, and to no other. Answers how many.
pub async fn requeue(
    executor: impl PgExecutor<'_>,
    filter: &LetterFilter<'_>,
) -> sqlx::Result<i64> {
    let LetterFilter { ids, projection, tenant, before } = *filter;
    let row =
        sqlx::query_file!("src/store/sql/dead_letter_requeue.sql", ids, projection, tenant, before)
            .fetch_one(executor)
            .await?;
    Ok(row.requeued)
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
