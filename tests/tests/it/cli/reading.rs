//! Commands that read: `events`, `projections`, `dlq`, `wait`.

use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::store::{Append, EventStore};
use eventfabric_tests::{TestDb, database};
use serde_json::{Value, json};
use sqlx::Executor as _;

use super::run;
use crate::store::event;

/// Account/1: Opened, Counted, Counted; Order/1 of acme: Opened.
async fn log() -> TestDb {
    let db = database().await;
    let store = EventStore::new(db.pool(2).await);
    let append = |aggregate: &str, tenant: &str, types: &[&str]| Append {
        stream: StreamId::new(aggregate, "1").in_tenant(tenant),
        expected: ExpectedVersion::Any,
        topic: None,
        events: types.iter().zip(1..).map(|(t, n)| event(t, n)).collect(),
    };
    store
        .append_all(vec![
            append("Account", "default", &["Opened", "Counted", "Counted"]),
            append("Order", "acme", &["Opened"]),
        ])
        .await
        .unwrap();
    db
}

async fn positions(db: &TestDb, args: &[&str]) -> Vec<i64> {
    let args: Vec<&str> = ["events", "--json"].iter().chain(args).copied().collect();
    let events = run(db, &args).await.well().lines();
    events.iter().map(|event| event["position"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn events_prints_the_log_or_a_part_of_it() {
    let db = log().await;
    for (args, wanted) in [
        (&[][..], &[1, 2, 3, 4][..]),
        (&["--from", "2"], &[3, 4]),
        (&["--limit", "2"], &[1, 2]),
        (&["--limit", "0"], &[1, 2, 3, 4]),
        (&["--type", "Opened"], &[1, 4]),
        (&["--type", "Opened", "--type", "Counted", "--from", "1"], &[2, 3, 4]),
        (&["--aggregate", "Order"], &[4]),
        (&["--tenant", "default"], &[1, 2, 3]),
        (&["Account/1"], &[1, 2, 3]),
        (&["Account/1", "--from", "2"], &[2, 3]),
        (&["Account/1", "--backward"], &[3, 2, 1]),
        (&["Account/1", "--backward", "--from", "2"], &[2, 1]),
        (&["Account/1", "--backward", "--limit", "1"], &[3]),
        (&["Order/1", "--tenant", "acme"], &[4]),
        (&["Order/1"], &[]),
        (&["Nothing/1"], &[]),
    ] {
        assert_eq!(positions(&db, args).await, wanted, "{args:?}");
    }
    let said = run(&db, &["events", "Account"]).await;
    said.failed(4, &["AGGREGATE/ID"]);
    let said = run(&db, &["events", "Account/1", "--from", "3000000000"]).await;
    said.failed(4, &["2147483647"]);
}

#[tokio::test]
async fn an_event_as_json_has_every_field_by_its_documented_name() {
    let db = log().await;
    let mut event: Value =
        run(&db, &["events", "--json", "--limit", "1"]).await.well().lines().remove(0);
    for field in ["event_id", "occurred_at"] {
        assert!(event[field].as_str().is_some_and(|text| text.len() >= 20), "{field}: {event}");
    }
    let fields = event.as_object_mut().unwrap();
    fields.remove("occurred_at");
    fields.remove("event_id");
    assert_eq!(
        event,
        json!({
            "position": 1, "tenant": "default", "aggregate": "Account", "id": "1", "version": 1,
            "type": "Opened", "schema_version": 1,
            "payload": {"type": "Opened", "version": 1, "n": 1},
        }),
        "the id of the aggregate must not hide the id of the event"
    );
}

#[tokio::test]
async fn an_event_as_text_is_one_line_without_control_characters() {
    let db = database().await;
    let store = EventStore::new(db.pool(2).await);
    let stream = StreamId::new("Acc\nount", "\u{1b}[31m1");
    store.append(stream, ExpectedVersion::Any, vec![event("Op\tened", 1)]).await.unwrap();
    let said = run(&db, &["events"]).await.well();
    assert_eq!(said.out.lines().count(), 1, "{}", said.out);
    assert!(!said.out.trim_end().contains(char::is_control), "{:?}", said.out);
}

#[tokio::test]
async fn lists_of_an_empty_database_are_empty_and_not_missing() {
    let db = database().await;
    for list in [&["projections", "list"][..], &["projections", "status"], &["dlq", "list"]] {
        let json: Vec<&str> = list.iter().chain(&["--json"]).copied().collect();
        assert_eq!(run(&db, &json).await.well().json(), json!([]), "{list:?}");
        assert!(run(&db, list).await.well().out.contains("projection"), "{list:?}");
    }
    assert_eq!(run(&db, &["events", "--json"]).await.well().out, "");
    assert_eq!(run(&db, &["events"]).await.well().out, "");
    let said = run(&db, &["dlq", "requeue", "--all", "--json"]).await.well();
    assert_eq!(said.json(), json!({"requeued": 0}));
}

#[tokio::test]
async fn wait_ends_with_1_when_a_projection_that_is_behind_does_not_move() {
    let db = log().await;
    let mut conn = db.connect().await;
    let version =
        "INSERT INTO eventfabric.plugin_versions (sha256, plugin_name, bytes, description)
                   VALUES (repeat('0', 64), 'owners', '', '{}')";
    let projection = "INSERT INTO eventfabric.projections
                          (projection_name, mode, active_sha256, state, last_error)
                      VALUES ('owners', 'catch-up', repeat('0', 64), 'failed', 'x is missing')";
    for sql in [version, projection] {
        conn.execute(sql).await.unwrap();
    }
    let wait = ["wait", "--caught-up", "--timeout", "60s"];
    run(&db, &wait).await.failed(1, &["`owners`", "has stopped", "x is missing"]);
    run(&db, &["projections", "pause", "owners", "--reason", "repairs"]).await.well();
    run(&db, &wait).await.failed(1, &["`owners`", "is paused (repairs)", "projections resume"]);
}

#[tokio::test]
async fn wait_without_a_projection_ends_in_time_with_6() {
    let db = database().await;
    let said = run(&db, &["wait", "--caught-up", "--timeout", "1s"]).await;
    said.failed(6, &["no projection to wait for", "has a host run with plugins"]);
    run(&db, &["wait"]).await.failed(2, &["--caught-up"]);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let db = database().await;
    let store = EventStore::new(db.pool(2).await);
    let stream = StreamId::new("Account", "1");
    store.append(stream, ExpectedVersion::Any, crate::store::events(3000)).await.unwrap();
    let mut command = super::program(&["events", "--json", "--limit", "0"]);
    let mut child = command.env("EVENTFABRIC_DATABASE_URL", db.url()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
