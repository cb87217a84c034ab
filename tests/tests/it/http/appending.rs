//! Appending to a stream.

use serde_json::json;

use super::{Api, ask, each, events, open};

const STREAM: &str = "/v1/streams/Account/42/events";

#[tokio::test]
async fn an_append_answers_where_its_events_went() {
    let api = Api::start(open()).await;
    let opened = json!({
        "expected_version": "none",
        "events": [
            {"type": "AccountOpened", "payload": {"owner": "Ada"}, "correlation_id": "c-1"},
            {"type": "Deposited", "schema_version": 2, "payload": {"cents": 9007199254740993i64},
             "event_id": "018f0000-0000-7000-8000-000000000001", "causation_id": "e-1",
             "occurred_at": "2026-01-02T03:04:05.678901Z"},
        ],
    });
    let answer = ask(api.post(STREAM, &opened)).await.is(201);
    assert_eq!(answer.header("etag"), Some("\"2\""));
    assert_eq!(answer.header("location"), Some("/v1/streams/Account/42/events?from_version=1"));
    assert_eq!(answer.header("idempotent-replayed"), None);
    assert_eq!(
        answer.body["stream"],
        json!({"tenant": "default", "aggregate": "Account", "id": "42"})
    );
    assert_eq!(answer.body["version"], 2);
    assert_eq!(each(&answer.body["events"], "version"), [1, 2]);
    let positions = each(&answer.body["events"], "position");
    assert_eq!(answer.body["position"], positions[1]);

    let read = ask(api.get(answer.header("location").unwrap())).await.is(200);
    let [first, second] = [&read.body["events"][0], &read.body["events"][1]];
    assert_eq!(first["payload"], json!({"type": "AccountOpened", "version": 1, "owner": "Ada"}));
    assert_eq!(first["correlation_id"], "c-1");
    assert_eq!(second["event_id"], "018f0000-0000-7000-8000-000000000001");
    assert_eq!(second["schema_version"], 2);
    assert_eq!(second["payload"]["cents"], 9007199254740993i64);
    assert_eq!(second["occurred_at"], "2026-01-02T03:04:05.678901Z");
    assert_eq!(second["causation_id"], "e-1");

    // The label of the aggregate, from the settings, is in the outbox.
    let sql = "SELECT count(*) FROM eventfabric.outbox WHERE topic = 'accounts'";
    assert_eq!(crate::store::number(&mut api.db.connect().await, sql).await, 2);
    api.stop().await;
}

#[tokio::test]
async fn the_expected_version_is_a_field_or_a_header_and_a_conflict_names_both_versions() {
    let api = Api::start(open()).await;
    let with = |expected: serde_json::Value| {
        let mut body = events(1);
        body["expected_version"] = expected;
        body
    };
    ask(api.post(STREAM, &with(json!("none")))).await.is(201);
    ask(api.post(STREAM, &with(json!(1)))).await.is(201);
    ask(api.post(STREAM, &with(json!("exists")))).await.is(201);
    ask(api.post(STREAM, &with(json!("any")))).await.is(201);
    ask(api.post(STREAM, &events(1))).await.is(201);
    ask(api.post(STREAM, &events(1)).header("if-match", "\"5\"")).await.is(201);
    ask(api.post(STREAM, &with(json!(6))).header("if-match", "\"6\"")).await.is(201);
    ask(api.post(STREAM, &events(1)).header("if-match", "*")).await.is(201);
    ask(api.post("/v1/streams/Account/43/events", &events(1)).header("if-none-match", "*"))
        .await
        .is(201);

    let before = api.rows().await;
    let conflict = ask(api.post(STREAM, &with(json!(3)))).await;
    let conflict = conflict.problem(409, "expected-version-conflict");
    assert_eq!((&conflict.body["expected"], &conflict.body["actual"]), (&json!(3), &json!(8)));
    assert_eq!(conflict.header("etag"), Some("\"8\""));
    let conflict = ask(api.post(STREAM, &with(json!("none")))).await;
    let conflict = conflict.problem(409, "expected-version-conflict");
    assert_eq!((&conflict.body["expected"], &conflict.body["actual"]), (&json!("none"), &json!(8)));
    let failed = ask(api.post(STREAM, &events(1)).header("if-match", "\"3\"")).await;
    failed.problem(412, "expected-version-conflict");
    let failed = ask(api.post(STREAM, &events(1)).header("if-none-match", "*")).await;
    failed.problem(412, "expected-version-conflict");
    let failed = ask(api.post("/v1/streams/Account/44/events", &events(1)).header("if-match", "*"));
    failed.await.problem(412, "expected-version-conflict");

    let two = api.post(STREAM, &with(json!(8))).header("if-match", "\"7\"");
    ask(two).await.problem(400, "invalid-request");
    let two = api.post(STREAM, &events(1)).header("if-match", "\"8\"").header("if-none-match", "*");
    ask(two).await.problem(400, "invalid-request");
    for tag in ["8", "W/\"8\"", "\"-1\"", "\"8\", \"9\""] {
        let wrong = api.post(STREAM, &events(1)).header("if-match", tag);
        ask(wrong).await.problem(400, "invalid-request");
    }
    assert_eq!(api.rows().await, before);
    api.stop().await;
}

#[tokio::test]
async fn an_append_with_a_key_is_made_once_and_answers_the_same_each_time() {
    let api = Api::start(open()).await;
    let mut body = events(2);
    body["expected_version"] = json!("none");
    let keyed = |body: &serde_json::Value| api.post(STREAM, body).header("idempotency-key", "k-1");
    let first = ask(keyed(&body)).await.is(201);
    ask(api.post(STREAM, &events(3))).await.is(201);
    let before = api.rows().await;
    let again = ask(keyed(&body)).await.is(201);
    assert_eq!(again.body, first.body);
    for name in ["etag", "location"] {
        assert_eq!(again.header(name), first.header(name));
    }
    assert_eq!(again.header("idempotent-replayed"), Some("true"));

    // The same JSON in other words is the same.
    let spelt = r#"{"events": [{"payload": {"version": 1, "n": 1 }, "type": "Counted"},
                               {"payload": {"n":2}, "schema_version": 1, "type": "Counted"}]}"#;
    let again = ask(api.post_text(STREAM, spelt).header("idempotency-key", "k-1")).await.is(201);
    assert_eq!(again.body, first.body);

    let mut other = events(2);
    other["events"][1]["payload"] = json!({"n": 3});
    let mut correlated = events(2);
    correlated["events"][0]["correlation_id"] = json!("x");
    let mut later = events(2);
    later["expected_version"] = json!(5);
    for other in [other, correlated, later, events(1), events(3)] {
        ask(keyed(&other)).await.problem(422, "idempotency-key-reused");
    }
    let elsewhere =
        api.post("/v1/streams/Account/43/events", &body).header("idempotency-key", "k-1");
    ask(elsewhere).await.problem(422, "idempotency-key-reused");
    let mut own_ids = events(1);
    own_ids["events"][0]["event_id"] = json!("018f0000-0000-7000-8000-000000000002");
    ask(api.post(STREAM, &own_ids).header("idempotency-key", "k-2"))
        .await
        .problem(400, "invalid-request");
    for key in ["", &"k".repeat(256)] {
        let wrong = api.post(STREAM, &events(1)).header("idempotency-key", key);
        ask(wrong).await.problem(400, "invalid-request");
    }
    assert_eq!(api.rows().await, before);
    api.stop().await;
}

#[tokio::test]
async fn repeats_of_one_key_at_the_same_time_append_once() {
    let api = Api::start(open()).await;
    let asks = (0..32).map(|n| {
        // Half of them expect a version, and none may hear of a conflict with its own repeat.
        let mut body = events(2);
        if n % 2 == 0 {
            body["expected_version"] = json!("none");
        }
        ask(api.post(STREAM, &body).header("idempotency-key", "k-1"))
    });
    let answers = futures::future::join_all(asks).await;
    let first = answers[0].body.clone();
    let mut made = 0;
    for answer in answers {
        made += usize::from(answer.header("idempotent-replayed").is_none());
        assert_eq!(answer.is(201).body, first);
    }
    assert_eq!(made, 1);
    assert_eq!(api.rows().await, (2, 2, 2));
    api.stop().await;
}

#[tokio::test]
async fn of_appends_to_one_stream_at_the_same_version_one_is_made() {
    let api = Api::start(open()).await;
    ask(api.post(STREAM, &events(1))).await.is(201);
    let asks = (0..32).map(|_| ask(api.post(STREAM, &events(1)).header("if-match", "\"1\"")));
    let answers = futures::future::join_all(asks).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let failed = answers.iter().filter(|answer| answer.status == 412).count();
    assert_eq!((made, failed), (1, 31));
    assert_eq!(api.rows().await, (2, 2, 2));
    api.stop().await;
}

#[tokio::test]
async fn an_expected_version_of_null_is_refused_and_not_taken_for_any() {
    let api = Api::start(open()).await;
    ask(api.post(STREAM, &events(1))).await.is(201);
    let before = api.rows().await;
    let mut body = events(1);
    body["expected_version"] = json!(null);
    let refused = ask(api.post(STREAM, &body)).await.problem(422, "invalid-body");
    assert!(
        refused.body["detail"].as_str().unwrap().contains("expected_version"),
        "{}",
        refused.body
    );
    assert_eq!(api.rows().await, before);
    api.stop().await;
}
