//! `dlq`: dead letters are listed, shown, requeued and purged by what is said of them.

use std::time::Duration;

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{Cause, EventStore, bury_new};
use eventfabric_tests::{TestDb, database};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use super::run;

const SQL: &str = "INSERT INTO owners\nVALUES ($1)";

/// Four letters: two of `owners` in two tenants, two of `mails`.
async fn letters() -> TestDb {
    let db = database().await;
    let store = EventStore::new(db.pool(2).await);
    for tenant in ["default", "acme"] {
        let stream = StreamId::new("Account", "1").in_tenant(tenant);
        let event = |n: i64| NewEvent::new("Opened", &json!({"n": n, "owner": "Ünal"})).unwrap();
        let events = vec![event(1), event(2)];
        store.append(stream, ExpectedVersion::NoStream, events).await.unwrap();
    }
    let log: Vec<_> = store.read_log(Default::default()).try_collect().await.unwrap();
    let mut conn = db.connect().await;
    let poison =
        Cause { error: "it is taken", class: "poison", sqlstate: Some("23505"), sql: Some(SQL) };
    let trap = Cause { error: "it panicked", class: "trap", sqlstate: None, sql: None };
    for (projection, at, cause) in
        [("owners", 0, &poison), ("owners", 2, &trap), ("mails", 0, &trap), ("mails", 3, &poison)]
    {
        let failing = Duration::from_secs(60);
        bury_new(&mut conn, projection, "0123abcd", &log[at], 8, failing, cause).await.unwrap();
    }
    db
}

async fn ids(db: &TestDb, filter: &[&str]) -> Vec<i64> {
    let args = [&["dlq", "list", "--json"], filter].concat();
    let list = run(db, &args).await.well().json();
    list.as_array().unwrap().iter().map(|letter| letter["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn letters_are_found_by_projection_class_position_time_and_tenant() {
    let db = letters().await;
    for (filter, wanted) in [
        (&[][..], &[4, 3, 2, 1][..]),
        (&["--projection", "owners"], &[2, 1]),
        (&["--class", "trap"], &[3, 2]),
        (&["--class", "trap", "--projection", "owners"], &[2]),
        (&["--from-position", "3"], &[4, 2]),
        (&["--from-position", "2", "--to-position", "3"], &[2]),
        (&["--tenant", "acme"], &[4, 2]),
        (&["--since", "2026-01-01T00:00:00Z"], &[4, 3, 2, 1]),
        (&["--until", "2026-01-01T00:00:00Z"], &[]),
        (&["--limit", "1"], &[4]),
    ] {
        assert_eq!(ids(&db, filter).await, wanted, "{filter:?}");
    }
    run(&db, &["dlq", "list", "--class", "other"]).await.failed(2, &["`trap`"]);
    let table = run(&db, &["dlq", "list"]).await.well().out;
    assert!(table.contains("it is taken") && table.contains("poison"), "{table}");
}

#[tokio::test]
async fn a_letter_is_shown_with_its_event_the_error_and_the_sql_that_failed() {
    let db = letters().await;
    let shown = run(&db, &["dlq", "show", "1"]).await.well().out;
    for word in [
        "owners",
        "0123abcd",
        "it is taken",
        "23505",
        "INSERT INTO owners",
        "VALUES ($1)",
        "Account/1",
        "Opened",
        "\"owner\": \"Ünal\"",
        "attempts        8",
        "first failure",
    ] {
        assert!(shown.contains(word), "no {word} in:\n{shown}");
    }
    let shown: Value = run(&db, &["dlq", "show", "1", "--json"]).await.well().json();
    assert_eq!(shown["letter"]["failed_sql"], SQL);
    assert_eq!(shown["letter"]["error_class"], "poison");
    assert_eq!(shown["event"]["payload"]["owner"], "Ünal");
    run(&db, &["dlq", "show", "99"]).await.failed(4, &["no dead letter 99", "dlq list"]);
}

#[tokio::test]
async fn letters_are_purged_only_when_that_is_meant() {
    let db = letters().await;
    run(&db, &["dlq", "purge"]).await.failed(2, &[]);
    run(&db, &["dlq", "purge", "--all"]).await.failed(4, &["--yes"]);
    run(&db, &["dlq", "purge", "--all", "--class", "trap", "--yes"]).await.failed(2, &[]);
    assert_eq!(ids(&db, &[]).await.len(), 4);
    let said = run(&db, &["dlq", "purge", "--class", "trap", "--yes", "--json"]).await.well();
    assert_eq!(said.json(), json!({"purged": 2}));
    let said = run(&db, &["dlq", "purge", "1", "--yes"]).await.well();
    assert!(said.out.contains("1 dead letter is deleted"), "{}", said.out);
    assert_eq!(ids(&db, &[]).await, [4]);
    run(&db, &["dlq", "purge", "1", "--yes"]).await.failed(4, &["no such dead letter"]);
}

#[tokio::test]
async fn letters_are_requeued_by_what_is_said_of_them() {
    let db = letters().await;
    run(&db, &["dlq", "requeue"]).await.failed(2, &[]);
    let filter = ["dlq", "requeue", "--projection", "mails", "--tenant", "acme", "--json"];
    assert_eq!(run(&db, &filter).await.well().json(), json!({"requeued": 1}));
    assert_eq!(ids(&db, &[]).await, [3, 2, 1]);
    let retry: (String, i64, String, String, i32) = sqlx::query_as(
        "SELECT projection_name, global_position, tenant_id, aggregate_id, attempts
         FROM eventfabric.projection_retries",
    )
    .fetch_one(&mut db.connect().await)
    .await
    .unwrap();
    assert_eq!(retry, ("mails".to_owned(), 4, "acme".to_owned(), "1".to_owned(), 0));
    run(&db, &["dlq", "requeue", "--all"]).await.well();
    assert!(ids(&db, &[]).await.is_empty());
}
