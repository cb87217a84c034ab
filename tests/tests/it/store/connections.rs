//! Connections that were used a moment ago: kept for the next one who needs one, and nobody's for long.

use std::time::Duration;

use eventfabric::db::{Connections, Lent, Source as _, Tx};
use eventfabric_tests::database;
use sqlx::{PgPool, Row as _};

use crate::runners::until;

async fn pid(conn: &mut Lent) -> i32 {
    let row = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut **conn).await.unwrap();
    row.get(0)
}

/// All connections of a pool at once.
async fn all(pool: &PgPool) {
    let mut taken = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        taken.push(pool.acquire().await.unwrap());
    }
}

#[tokio::test]
async fn what_ended_well_is_used_next() {
    let db = database().await;
    let connections = Connections::new(db.pool(8).await);
    let mut first = connections.lend().await.unwrap();
    let mut second = connections.lend().await.unwrap();
    let (one, two) = (pid(&mut first).await, pid(&mut second).await);
    assert_ne!(one, two);
    first.keep();
    second.keep();
    for wanted in [two, one] {
        let mut next = connections.lend().await.unwrap();
        assert_eq!(pid(&mut next).await, wanted);
        // Of which nothing is said goes back to the pool, which looks at it.
        drop(next);
    }
    let pool = connections.pool().clone();
    until("both are back", async || pool.num_idle() == 2).await;
}

#[tokio::test]
async fn a_transaction_that_has_ended_leaves_its_session_to_the_next_one() {
    let db = database().await;
    let connections = Connections::new(db.pool(8).await);
    let tx = Tx::begin(&connections, Duration::from_secs(5)).await.unwrap();
    let first = tx.backend_pid();
    tx.commit().await.unwrap();
    let tx = Tx::begin(&connections, Duration::from_secs(5)).await.unwrap();
    assert_eq!(tx.backend_pid(), first);
    // One that has not ended takes its session with it.
    drop(tx);
    let tx = Tx::begin(&connections, Duration::from_secs(5)).await.unwrap();
    assert_ne!(tx.backend_pid(), first);
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn what_nobody_needs_goes_back_to_the_pool_and_a_small_pool_is_left_as_it_is() {
    let db = database().await;
    for max in [1, 3, 4, 8] {
        let connections = Connections::new(db.pool(max).await);
        let pool = connections.pool().clone();
        let lent = connections.lend().await.unwrap();
        lent.keep();
        // Whoever goes to the pool itself has all of it, at the latest when nobody has used those for a while.
        tokio::time::timeout(Duration::from_secs(20), all(&pool)).await.unwrap();
        until("all are back", async || pool.num_idle() == max as usize).await;
    }
}

#[tokio::test]
async fn a_pool_ends_with_what_is_kept_of_it() {
    let db = database().await;
    let connections = Connections::new(db.pool(8).await);
    let lent = connections.lend().await.unwrap();
    lent.keep();
    let closed = connections.pool().close();
    tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
    assert!(matches!(connections.lend().await, Err(sqlx::Error::PoolClosed)));
}

#[test]
fn connections_may_outlive_their_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (db, connections) = first.block_on(async {
        let db = database().await;
        let connections = Connections::new(db.pool(8).await);
        let lent = connections.lend().await.unwrap();
        lent.keep();
        (db, connections)
    });
    drop(first);
    drop(connections);
    runtime().block_on(async { drop(db) });
}

#[tokio::test]
async fn a_session_that_has_ended_meanwhile_costs_one_use() {
    let db = database().await;
    let connections = Connections::new(db.pool(8).await);
    let mut lent = connections.lend().await.unwrap();
    let ended = pid(&mut lent).await;
    lent.keep();
    sqlx::query("SELECT pg_terminate_backend($1, 10000)")
        .bind(ended)
        .execute(connections.pool())
        .await
        .unwrap();
    let used = Tx::begin(&connections, Duration::from_secs(5)).await;
    if let Ok(tx) = used {
        // It was given back before, and found to be gone.
        assert_ne!(tx.backend_pid(), ended);
    }
    let tx = Tx::begin(&connections, Duration::from_secs(5)).await.unwrap();
    assert_ne!(tx.backend_pid(), ended);
}
