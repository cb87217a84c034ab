//! A database that the library has made and used, with half-done work in it, under our program.

use std::time::Duration;

use eventfabric::store::{
    Checkpoint, LetterFilter, Look, SafeHead, checkpoints, claim, foreign_worker, notify_events,
    requeue, snapshots,
};
use eventfabric_tests::bare_database;
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use super::{LIBRARY, taken_over};
use crate::cli::run;
use crate::runners::rig::{Running, World, deploy_guest, quick};

#[tokio::test]
async fn the_events_of_the_library_are_read_by_our_program() {
    let db = bare_database().await;
    db.connect().await.execute(sqlx::raw_sql(LIBRARY)).await.unwrap();
    run(&db, &["events"]).await.well();
    let said = run(&db, &["migrate", "--json"]).await.well();
    assert_eq!(said.json()["already"], 8);

    let log = run(&db, &["events", "--json"]).await.well();
    let positions: Vec<i64> = log.lines().iter().map(|e| e["position"].as_i64().unwrap()).collect();
    assert_eq!(positions, [1, 2, 3, 5], "a hole at 4, and 6 was dismissed");
    assert!(log.out.contains("9007199254740993") && log.out.contains("Ümit"), "{}", log.out);
    let said = run(&db, &["events", "Account/a1", "--tenant", "acme", "--json"]).await.well();
    assert_eq!(said.lines().len(), 1);
    let letters = run(&db, &["dlq", "list", "--json"]).await.well().json();
    assert_eq!(letters[0]["position"], 1);
    assert_eq!(letters[0]["projection"], json!(null), "a letter of the library stands for all");
}

#[tokio::test]
async fn the_place_where_the_library_stopped_is_where_we_begin() {
    let (db, store) = taken_over().await;
    let pool = store.pool();
    let mut found = checkpoints(pool, "balances").await.unwrap();
    found.sort_by_key(|checkpoint| checkpoint.position);
    let checkpoint = |tenant: &str, position| Checkpoint { tenant: tenant.to_owned(), position };
    assert_eq!(found, [checkpoint("acme", 0), checkpoint("default", 3)]);

    let mut head = SafeHead::from(0);
    while head.look(pool).await.unwrap() != Look::AtEnd {}
    assert_eq!(head.position(), 6);
    let snapshot: (i32, String) =
        sqlx::query_as("SELECT aggregate_version, state->>'cents' FROM eventfabric.snapshots")
            .fetch_one(&mut db.connect().await)
            .await
            .unwrap();
    assert_eq!(snapshot, (2, "9007199254740993".to_owned()));
}

#[tokio::test]
async fn claims_of_a_dead_worker_of_the_library_are_taken_over_and_fresh_ones_respected() {
    let (db, store) = taken_over().await;
    let lease = Duration::from_secs(60);
    let mut conn = db.connect().await;
    assert!(foreign_worker(store.pool(), lease).await.unwrap().is_none());
    let mut tx = conn.begin().await.unwrap();
    let claimed = claim(&mut tx, 10, lease, 0).await.unwrap().rows;
    let positions: Vec<i64> = claimed.iter().map(|row| row.event.position).collect();
    assert_eq!(positions, [2, 3, 5], "the stranded row is between the others");
    tx.rollback().await.unwrap();

    conn.execute("UPDATE eventfabric.outbox SET locked_at = now() WHERE global_position = 3")
        .await
        .unwrap();
    let worker = foreign_worker(store.pool(), lease).await.unwrap().expect("it lives");
    assert_eq!(worker.worker.as_deref(), Some("worker-of-the-library"));
    let mut tx = conn.begin().await.unwrap();
    assert!(
        claim(&mut tx, 10, lease, 0).await.unwrap().rows.is_empty(),
        "the queue is the library's"
    );
}

const CAUGHT_UP: &str = "SELECT coalesce(string_agg(position::text, ',' ORDER BY position), '') FROM hostile_catchup.seen";
const DELIVERED: &str = "SELECT coalesce(string_agg(position::text, ',' ORDER BY position), '') FROM hostile_async.seen";

#[tokio::test]
async fn every_event_of_the_library_is_projected_and_every_outbox_row_delivered() {
    let (db, _) = taken_over().await;
    let world = World::of(db);
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deploy_guest(&running.host, "hostile_async").await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 4).await;
    world.until_number("SELECT count(*) FROM hostile_async.seen", 3).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    // Without the hole at 4 and the dismissed event at 6; the stranded row of a dead worker (3) and
    // the one without a topic (5) are among them.
    assert_eq!(world.texts(CAUGHT_UP).await, ["1,2,3,5"]);
    assert_eq!(world.texts(DELIVERED).await, ["2,3,5"]);

    // Its dead letter names no projection, and goes to all.
    assert_eq!(requeue(&world.eyes, &LetterFilter::default()).await.unwrap(), 1);
    notify_events(&world.eyes).await.unwrap();
    world.until_number("SELECT count(*) FROM hostile_async.seen", 4).await;
    assert_eq!(world.texts(DELIVERED).await, ["1,2,3,5"]);
    let letters = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
    assert_eq!(world.number(letters).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_dismissal_of_the_library_is_in_the_record_and_can_be_taken_back() {
    let (_db, store) = taken_over().await;
    let standing = store.dismissals(&Default::default(), 10).await.unwrap();
    let said: Vec<_> = standing
        .iter()
        .map(|d| (d.position, d.reason.as_deref(), d.dismissed_by.as_deref()))
        .collect();
    assert_eq!(said, [(6, Some("typing error"), Some("ops"))]);
    store.undo_dismissal(&[6.into()], "us").await.unwrap();
    assert_eq!(store.query().count().await.unwrap(), 5);
}

#[tokio::test]
async fn snapshots_of_the_library_are_listed_with_its_other_streams_untouched() {
    let (_db, store) = taken_over().await;
    let found = snapshots(store.pool(), &Default::default(), None, 10).await.unwrap();
    let said: Vec<_> = found
        .iter()
        .map(|s| (s.stream().to_string(), s.version, s.stream_version, s.rebuild_requested_at))
        .collect();
    assert_eq!(said, [("Account/a1".to_owned(), 2, Some(2), None)]);
}
