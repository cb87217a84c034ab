//! The order of each stream, for the async projections that ask for it: later events wait behind one
//! that failed, was given up, or is in another worker's hands.
//!
//! An event is tried only where a look at the database, made after its row was locked, finds no earlier
//! event of its stream that is still to be handled. An earlier event can't appear after that look: its
//! row of the outbox was committed before the later event was, and stays visible until the transaction
//! that handles it, or puts it aside, is committed. So no two workers ever turn the order round, and
//! nothing needs to be locked for it.

use std::collections::HashSet;

use sqlx::PgConnection;

use crate::event::{Event, StreamId};

/// Which of these events of a projection must wait for an earlier one of their stream; their positions.
/// `outbox_ids` and `positions` are the rows of the outbox and the retries that the transaction itself
/// has claimed.
pub async fn blocked(
    conn: &mut PgConnection,
    projection: &str,
    events: &[&Event],
    outbox_ids: &[i64],
    positions: &[i64],
) -> sqlx::Result<HashSet<i64>> {
    let streams: Vec<_> = events.iter().map(|event| (event.position, &event.stream)).collect();
    let Columns { first, tenants, aggregates, ids } = Columns::of(&streams);
    let rows = sqlx::query_file!(
        "src/store/sql/order_blocked.sql",
        projection,
        &first,
        &tenants,
        &aggregates,
        &ids,
        outbox_ids,
        positions
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.position).collect())
}

/// Holds the retries of a projection in these streams, from these positions on.
pub async fn hold(
    conn: &mut PgConnection,
    projection: &str,
    from: &[(i64, &StreamId)],
) -> sqlx::Result<()> {
    if from.is_empty() {
        return Ok(());
    }
    let Columns { first, tenants, aggregates, ids } = Columns::of(from);
    sqlx::query_file!(
        "src/store/sql/order_hold.sql",
        projection,
        &first,
        &tenants,
        &aggregates,
        &ids
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets the retries of a projection go on that are held and have nothing to wait for any more; all of
/// them where it does not keep the `order` of streams. Answers how many.
pub async fn release(conn: &mut PgConnection, projection: &str, order: bool) -> sqlx::Result<u64> {
    let done = sqlx::query_file!("src/store/sql/order_release.sql", projection, order);
    Ok(done.execute(conn).await?.rows_affected())
}

/// Whether this transaction is the only one now that retries for the projection.
pub async fn take_order_turn(conn: &mut PgConnection, projection: &str) -> sqlx::Result<bool> {
    let row = sqlx::query_file!("src/store/sql/order_turn.sql", projection).fetch_one(conn).await?;
    Ok(row.taken)
}

/// Waits until no other transaction delivers to the projection that has asked for the same, and keeps
/// them from it until this one ends.
pub async fn await_turn(conn: &mut PgConnection, projection: &str) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/sql/delivery_turn.sql", projection).fetch_one(conn).await?;
    Ok(())
}

/// Places in streams, as the statements take them.
struct Columns {
    first: Vec<i64>,
    tenants: Vec<String>,
    aggregates: Vec<String>,
    ids: Vec<String>,
}

impl Columns {
    fn of(places: &[(i64, &StreamId)]) -> Self {
        Self {
            first: places.iter().map(|(position, _)| *position).collect(),
            tenants: places.iter().map(|(_, stream)| stream.tenant.clone()).collect(),
            aggregates: places.iter().map(|(_, stream)| stream.aggregate.clone()).collect(),
            ids: places.iter().map(|(_, stream)| stream.id.clone()).collect(),
        }
    }
}
