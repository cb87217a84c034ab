//! What a claim reads of a long queue.

use std::time::Duration;

use eventfabric::db::Tx;
use eventfabric_tests::database;
use sqlx::{AssertSqlSafe, Executor as _};

/// Rows of the queue and of the log that a claim of one row reads one by one.
async fn rows_read(tx: &mut Tx) -> i64 {
    let before = counted(tx).await;
    let claim = include_str!("../../../../host/src/store/sql/outbox_claim.sql");
    let claim = sqlx::query(AssertSqlSafe(claim)).bind(1_i64).bind(30_f64).bind(0_i64);
    assert_eq!(claim.fetch_all(tx.conn()).await.unwrap().len(), 1);
    counted(tx).await - before
}

async fn counted(tx: &mut Tx) -> i64 {
    let read = "SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_xact_user_tables
                WHERE schemaname = 'eventfabric' AND relname IN ('outbox', 'events')";
    sqlx::query_scalar(read).fetch_one(tx.conn()).await.unwrap()
}

#[tokio::test]
async fn a_claim_does_not_read_the_whole_queue() {
    let db = database().await;
    let pool = db.pool(1).await;
    pool.execute(
        "INSERT INTO eventfabric.events
                (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
         SELECT gen_random_uuid(), 'A', n::text, 1, 'T', 1, '{}' FROM generate_series(1, 10000) n;
         INSERT INTO eventfabric.outbox (global_position)
         SELECT global_position FROM eventfabric.events;
         ANALYZE eventfabric.events; ANALYZE eventfabric.outbox",
    )
    .await
    .unwrap();
    let time = Duration::from_secs(30);
    let mut tx = Tx::begin_claiming(&pool, time).await.unwrap();
    for _ in 0..10 {
        assert_eq!(rows_read(&mut tx).await, 0);
    }
    tx.rollback().await.unwrap();
    // With one plan for any number of rows it would, and this test can see it.
    let mut tx = Tx::begin(&pool, time).await.unwrap();
    assert!(rows_read(&mut tx).await >= 10_000);
    tx.rollback().await.unwrap();
}
