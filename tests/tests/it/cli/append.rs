//! `migrate` and `append`.

use eventfabric_tests::{bare_database, database};
use serde_json::{Value, json};

use super::{finish, program, run};

const ACCOUNT: [&str; 7] = ["append", "--aggregate", "Account", "--id", "1", "--type", "Opened"];

fn account<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ACCOUNT.iter().chain(more).copied().collect()
}

#[tokio::test]
async fn migrate_says_what_it_did_and_the_second_time_that_nothing_is_to_do() {
    let all = eventfabric::store::migrate::MIGRATIONS.len();
    let db = bare_database().await;
    let said = run(&db, &["migrate"]).await.well();
    assert!(said.out.contains("applied 001_init"), "{}", said.out);
    assert!(said.out.contains(&format!("applied {all}, 0 were there")), "{}", said.out);
    let said = run(&db, &["migrate"]).await.well();
    assert_eq!(said.out, format!("nothing to do: all {all} migrations are there\n"));
    let said = run(&db, &["migrate", "--json"]).await.well();
    assert_eq!(said.json(), json!({"applied": [], "already": all}));
}

#[tokio::test]
async fn append_answers_where_the_event_is() {
    let db = database().await;
    let said = run(&db, &account(&["--payload", r#"{"owner":"Ada"}"#])).await.well();
    assert!(said.out.starts_with("Account/1 is at version 1, position 1, event "), "{}", said.out);
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let more = account(&["--expected", "1", "--event-id", id, "--json"]);
    let said = run(&db, &more).await.well();
    let answer = json!({"position": 2, "version": 2, "event_id": id, "repeated": false});
    assert_eq!(said.json(), answer);

    let again = run(&db, &more).await.well();
    assert_eq!(
        again.json(),
        json!({"position": 2, "version": 2, "event_id": id, "repeated": true})
    );
}

#[tokio::test]
async fn append_keeps_everything_that_it_is_given() {
    let db = database().await;
    let given = [
        "--payload",
        "-",
        "--tenant",
        "acme",
        "--topic",
        "accounts",
        "--schema-version",
        "3",
        "--occurred-at",
        "2013-01-01T10:17:00+01:00",
        "--correlation-id",
        "order 4711",
        "--causation-id",
        "command 12",
    ];
    let args = account(&given);
    let mut command = program(&args);
    let said = finish(
        command.env("EVENTFABRIC_DATABASE_URL", db.url()),
        b" {\"cents\": 9007199254740993}\n",
    )
    .await
    .well();
    assert!(said.out.starts_with("acme:Account/1 is at version 1"), "{}", said.out);

    let said = run(&db, &["events", "Account/1", "--tenant", "acme", "--json"]).await.well();
    assert!(said.out.contains("9007199254740993"), "{}", said.out);
    let event: Value = said.lines().remove(0);
    assert_eq!(event["tenant"], "acme");
    assert_eq!(event["schema_version"], 3);
    assert_eq!(event["occurred_at"], "2013-01-01T09:17:00Z");
    assert_eq!(event["correlation_id"], "order 4711");
    assert_eq!(event["causation_id"], "command 12");
    let topic: Option<String> = sqlx::query_scalar("SELECT topic FROM eventfabric.outbox")
        .fetch_one(&mut db.connect().await)
        .await
        .unwrap();
    assert_eq!(topic.as_deref(), Some("accounts"));
}

#[tokio::test]
async fn topics_of_aggregates_come_from_the_settings() {
    let db = database().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("eventfabric.toml");
    std::fs::write(&file, "[topics]\nAccount = \"accounts\"\n").unwrap();
    run(&db, &account(&["--config", file.to_str().unwrap()])).await.well();
    let topic: Option<String> = sqlx::query_scalar("SELECT topic FROM eventfabric.outbox")
        .fetch_one(&mut db.connect().await)
        .await
        .unwrap();
    assert_eq!(topic.as_deref(), Some("accounts"));
}

#[tokio::test]
async fn a_conflict_ends_with_3_and_says_what_the_stream_is_at() {
    let db = database().await;
    run(&db, &account(&["--expected", "none"])).await.well();
    let said = run(&db, &account(&["--expected", "none"])).await;
    said.failed(
        3,
        &[
            "code: expected-version-conflict",
            "Account/1: expected no stream, but the stream is at version 1",
        ],
    );
    let said = run(&db, &account(&["--expected", "7"])).await;
    said.failed(3, &["expected version 7, but the stream is at version 1"]);
    let mut other = account(&["--expected", "exists"]);
    other[4] = "2";
    run(&db, &other).await.failed(3, &["Account/2", "the stream has no event"]);
}

#[tokio::test]
async fn a_payload_that_cannot_be_used_ends_with_4() {
    let db = database().await;
    for (payload, word) in [
        ("{\"a\":", "is not JSON"),
        ("", "is not JSON"),
        ("[1]", "must be a JSON object"),
        (r#"{"a":"\u0000"}"#, "u0000"),
        (r#"{"type":"Closed"}"#, "Closed"),
        (r#"{"n":1e999999}"#, "exponent"),
    ] {
        run(&db, &account(&["--payload", payload])).await.failed(4, &["error: ", word]);
    }
    let mut nameless = account(&[]);
    nameless[2] = "";
    run(&db, &nameless).await.failed(4, &["the aggregate of a stream"]);
    assert_eq!(run(&db, &["events", "--json"]).await.well().out, "");
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_shows_what_is_right() {
    let db = database().await;
    run(&db, &["appendd"]).await.failed(2, &["append"]);
    run(&db, &account(&["--expected", "-1"])).await.failed(2, &["--expected"]);
    run(&db, &account(&["--expected", "soon"])).await.failed(2, &["any", "none", "exists"]);
    run(&db, &["append"]).await.failed(2, &["--aggregate"]);
    let said = run(&db, &["events", "--from", "x"]).await;
    said.failed(2, &["--from"]);
    let without = finish(&mut program(&["events"]), b"").await;
    without.failed(2, &["which database?", "--database-url", "--embedded"]);
}
