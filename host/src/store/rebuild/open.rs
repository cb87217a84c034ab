//! Events that a projection has not handled, although it has handled later ones.

use sqlx::{PgConnection, PgExecutor};

use super::Shard;
use crate::event::Event;

/// An event that a rebuild has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Its place in the log.
    pub position: i64,
    /// Its tenant.
    pub tenant: String,
    /// Its kind of aggregate.
    pub aggregate: String,
    /// Its aggregate.
    pub id: String,
}

/// Those of the positions that the projection has not handled: they are being tried again, were given up,
/// or, for an async one, wait in the outbox.
pub async fn still_open(
    executor: impl PgExecutor<'_>,
    projection: &str,
    is_async: bool,
    positions: &[i64],
) -> sqlx::Result<Vec<i64>> {
    let rows =
        sqlx::query_file!("src/store/rebuild/sql/still_open.sql", projection, positions, is_async)
            .fetch_all(executor)
            .await?;
    Ok(rows.into_iter().map(|row| row.position).collect())
}

/// The positions of those events before which a passed one of the same stream waits.
pub async fn blocked_streams(
    conn: &mut PgConnection,
    projection: &str,
    events: &[&Event],
) -> sqlx::Result<Vec<i64>> {
    let columns = Columns::of(events);
    let rows = sqlx::query_file!(
        "src/store/rebuild/sql/blocked_streams.sql",
        projection,
        &columns.positions,
        &columns.tenants,
        &columns.aggregates,
        &columns.ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.position).collect())
}

/// Notes events that a part passes.
pub async fn note_open(
    conn: &mut PgConnection,
    shard: &Shard,
    events: &[&Event],
) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(events);
    sqlx::query_file!(
        "src/store/rebuild/sql/note_open.sql",
        shard.projection,
        shard.number,
        &columns.positions,
        &columns.tenants,
        &columns.aggregates,
        &columns.ids
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Events that a part has passed, oldest first: those after a position, at most `limit`.
pub async fn open_events(
    executor: impl PgExecutor<'_>,
    shard: &Shard,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Open>> {
    sqlx::query_file_as!(
        Open,
        "src/store/rebuild/sql/open.sql",
        shard.projection,
        shard.number,
        after,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Takes events out of those that a part has passed.
pub async fn made_up(
    conn: &mut PgConnection,
    shard: &Shard,
    positions: &[i64],
) -> sqlx::Result<()> {
    sqlx::query_file!(
        "src/store/rebuild/sql/made_up.sql",
        shard.projection,
        shard.number,
        positions
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The keys of events, a column each.
struct Columns {
    positions: Vec<i64>,
    tenants: Vec<String>,
    aggregates: Vec<String>,
    ids: Vec<String>,
}

impl Columns {
    fn of(events: &[&Event]) -> Self {
        Self {
            positions: events.iter().map(|event| event.position).collect(),
            tenants: events.iter().map(|event| event.stream.tenant.clone()).collect(),
            aggregates: events.iter().map(|event| event.stream.aggregate.clone()).collect(),
            ids: events.iter().map(|event| event.stream.id.clone()).collect(),
        }
    }
}
