//! `events` with conditions, `stats`, `dismiss`, `undismiss` and `dismissed`.

use chrono::{DateTime, Utc};
use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{Append, EventStore};
use eventfabric_tests::{TestDb, database};
use serde_json::{Value, json};
use uuid::Uuid;

use super::run;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Account/1: Opened, Counted, Counted; Order/1 of acme: Opened. A minute apart, from 10:01.
async fn log() -> TestDb {
    let db = database().await;
    let store = EventStore::new(db.pool(2).await);
    let mut minute = 0;
    for (aggregate, tenant, types) in [
        ("Account", "default", &["Opened", "Counted", "Counted"][..]),
        ("Order", "acme", &["Opened"]),
    ] {
        let events = types.iter().map(|event_type| {
            minute += 1;
            let at: DateTime<Utc> = format!("2026-01-01T10:0{minute}:00Z").parse().unwrap();
            NewEvent {
                id: (minute == 2).then(|| ID.parse::<Uuid>().unwrap()),
                occurred_at: Some(at),
                correlation_id: (minute != 3).then(|| "c1".to_owned()),
                causation_id: (minute == 2).then(|| "x".to_owned()),
                ..NewEvent::new(*event_type, &json!({"n": minute, "s": "é"})).unwrap()
            }
        });
        let append = Append {
            stream: StreamId::new(aggregate, "1").in_tenant(tenant),
            expected: ExpectedVersion::NoStream,
            topic: None,
            events: events.collect(),
        };
        store.append_all(vec![append]).await.unwrap();
    }
    db
}

async fn positions(db: &TestDb, args: &[&str]) -> Vec<i64> {
    let args: Vec<&str> = ["events", "--json"].iter().chain(args).copied().collect();
    let events = run(db, &args).await.well().lines();
    events.iter().map(|event| event["position"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn events_are_found_by_what_they_hold() {
    let db = log().await;
    for (args, wanted) in [
        (&["--until", "2"][..], &[1, 2][..]),
        (&["--from", "1", "--until", "3"], &[2, 3]),
        (&["--backward"], &[4, 3, 2, 1]),
        (&["--backward", "--from", "3"], &[2, 1]),
        (&["--backward", "--from", "4", "--until", "2"], &[3, 2]),
        (&["Account/1", "--from", "2", "--until", "2"], &[2]),
        (&["Account/1", "--backward", "--from", "2", "--until", "2"], &[2]),
        (&["Account/1", "--type", "Counted"], &[2, 3]),
        (&["--id", "1", "--tenant", "acme"], &[4]),
        (&["--since", "2026-01-01T10:03:00Z"], &[3, 4]),
        (&["--since", "2026-01-01T11:02:00+01:00", "--before", "2026-01-01T10:03:00Z"], &[2]),
        (&["--before", "2026-01-01T10:02:00Z"], &[1]),
        (&["--correlation-id", "c1"], &[1, 2, 4]),
        (&["--causation-id", "x"], &[2]),
        (&["--event-id", ID], &[2]),
        (&["--contains", r#"{"n": 3}"#], &[3]),
        (&["--contains", r#"{"s": "é"}"#, "--correlation-id", "c1"], &[1, 2, 4]),
        (&["--path", "$.n > 2"], &[3, 4]),
        (&["--path", "$ ? (@.n == $n)", "--vars", r#"{"n": 2}"#], &[2]),
    ] {
        assert_eq!(positions(&db, args).await, wanted, "{args:?}");
        let mut count = vec!["events", "--count"];
        count.extend(args);
        assert_eq!(run(&db, &count).await.well().out.trim(), wanted.len().to_string(), "{args:?}");
    }
    let said = run(&db, &["events", "--count", "--limit", "2", "--json"]).await.well();
    assert_eq!(said.json(), json!({"count": 2}));
}

#[tokio::test]
async fn conditions_that_make_no_sense_end_with_4_and_say_why() {
    let db = log().await;
    for (args, words) in [
        (&["--path", "$.n >"][..], &["JSON path $.n >", "syntax error"][..]),
        (&["--path", "$.n > $least"], &["least"]),
        (&["--contains", "{"], &["--contains", "not JSON"]),
        (&["--path", "$", "--vars", "x"], &["--vars", "not JSON"]),
        (&["Account/1", "--until", "3000000000"], &["--until", "2147483647"]),
    ] {
        let args: Vec<&str> = ["events"].iter().chain(args).copied().collect();
        run(&db, &args).await.failed(4, words);
    }
    for args in [
        &["--vars", "{}"][..],
        &["--since", "yesterday"],
        &["--event-id", "7"],
        &["--dismissed=never"],
        &["Account/1", "--id", "2"],
    ] {
        let args: Vec<&str> = ["events"].iter().chain(args).copied().collect();
        run(&db, &args).await.failed(2, &[]);
    }
}

#[tokio::test]
async fn an_event_is_dismissed_given_back_and_the_record_tells_both() {
    let db = log().await;
    let said =
        run(&db, &["dismiss", "2", "3", "--reason", "typing error", "--by", "ada", "--json"]).await;
    let done = said.well().json();
    assert_eq!((&done[0]["position"], &done[1]["position"]), (&json!(3), &json!(2)));
    assert_eq!(done[1]["event_id"], ID);
    assert_eq!(done[1]["held"], 1);

    assert_eq!(positions(&db, &["Account/1"]).await, [1]);
    assert_eq!(positions(&db, &["--dismissed"]).await, [1, 2, 3, 4]);
    assert_eq!(positions(&db, &["--dismissed=only"]).await, [2, 3]);
    let event = run(&db, &["events", "--dismissed=only", "--json"]).await.well().lines().remove(0);
    assert!(event["dismissed_at"].is_string(), "{event}");
    assert!(run(&db, &["events", "--dismissed"]).await.well().out.contains("(dismissed)"));

    let list = run(&db, &["dismissed"]).await.well();
    assert!(list.out.contains("typing error") && list.out.contains("ada"), "{}", list.out);
    run(&db, &["undismiss", ID, "--by", "bob"]).await.well();
    assert_eq!(positions(&db, &["Account/1"]).await, [1, 2]);
    let standing = run(&db, &["dismissed", "--json"]).await.well().json();
    assert_eq!(standing.as_array().map(Vec::len), Some(1));
    let record = run(&db, &["dismissed", "--history", "--json"]).await.well().json();
    let of = |position: i64| -> Value {
        let rows = record.as_array().unwrap();
        rows.iter().find(|row| row["position"] == position).unwrap().clone()
    };
    assert_eq!((&of(2)["undone_by"], &of(3)["undone_by"]), (&json!("bob"), &json!(null)));
    let one = run(&db, &["dismissed", "2", "--history", "--json"]).await.well().json();
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    let none = run(&db, &["dismissed", "--tenant", "acme", "--json"]).await.well();
    assert_eq!(none.json(), json!([]));
}

#[tokio::test]
async fn a_dismissal_that_cannot_be_made_ends_with_4() {
    let db = log().await;
    let dismiss = ["dismiss", "--by", "ada", "--reason"];
    let with = |reason: &'static str, events: &[&'static str]| -> Vec<&'static str> {
        dismiss.iter().chain(&[reason]).chain(events).copied().collect()
    };
    run(&db, &with("why", &["2"])).await.well();
    run(&db, &with("why", &["2"])).await.failed(4, &["event 2", "ada", "why"]);
    run(&db, &with("why", &["1", "99"])).await.failed(4, &["not in the log: 99"]);
    run(&db, &with(" ", &["1"])).await.failed(4, &["reason"]);
    run(&db, &["undismiss", "1", "--by", "bob"]).await.failed(4, &["event 1 is not dismissed"]);
    run(&db, &with("why", &["one"])).await.failed(2, &["position or its id"]);
    run(&db, &["dismiss", "1", "--by", "ada"]).await.failed(2, &["--reason"]);
    assert_eq!(positions(&db, &[]).await, [1, 3, 4]);
}

#[tokio::test]
async fn stats_count_the_log_and_what_waits() {
    let db = log().await;
    run(&db, &["dismiss", "3", "--reason", "r", "--by", "ada"]).await.well();
    let stats = run(&db, &["stats", "--json"]).await.well().json();
    assert_eq!((&stats["log"]["events"], &stats["log"]["dismissed"]), (&json!(4), &json!(1)));
    assert_eq!(stats["log"]["types"][0]["type"], "Counted");
    assert_eq!(stats["log"]["aggregates"][0]["streams"], 1);
    assert_eq!(stats["backlog"]["rows"], 3);
    let acme = run(&db, &["stats", "--tenant", "acme", "--json"]).await.well().json();
    assert_eq!((&acme["log"]["events"], &acme["backlog"]["rows"]), (&json!(1), &json!(1)));
    let text = run(&db, &["stats"]).await.well().out;
    for word in ["4 events", "1 of them dismissed", "Counted", "Account", "3 rows in the outbox"] {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
}
