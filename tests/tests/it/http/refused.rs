//! What is refused: each with its own code, and nothing written.

use eventfabric::http::{HttpConfig, HttpLimits};
use reqwest::Method;
use serde_json::json;

use super::{Api, ask, events, open};

const STREAM: &str = "/v1/streams/Account/42/events";

#[tokio::test]
async fn bodies_that_cannot_be_used() {
    let api = Api::start(open()).await;
    let one = |event: &str| format!(r#"{{"events":[{event}]}}"#);
    let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let cases: Vec<(String, u16, &str)> = vec![
        (String::new(), 400, "malformed-json"),
        ("not json".into(), 400, "malformed-json"),
        (r#"{"events":["#.into(), 400, "malformed-json"),
        (r#"{"events":[]} {}"#.into(), 400, "malformed-json"),
        (one(r#"{"type":"A","payload":{"a":01}}"#), 400, "malformed-json"),
        (one(r#"{"type":"A","payload":{"a":NaN}}"#), 400, "malformed-json"),
        (one("{\"type\":\"A\",\"payload\":{\"a\":\"\u{0}\"}}"), 400, "malformed-json"),
        ("[]".into(), 422, "invalid-body"),
        ("null".into(), 422, "invalid-body"),
        ("{}".into(), 422, "invalid-body"),
        (r#"{"events":[]}"#.into(), 422, "invalid-body"),
        (r#"{"events":{}}"#.into(), 422, "invalid-body"),
        (r#"{"events":[], "expected_verison": 1}"#.into(), 422, "invalid-body"),
        (one(r#"{"payload":{}}"#), 422, "invalid-body"),
        (one(r#"{"type":"A"}"#), 422, "invalid-body"),
        (one(r#"{"type":"A","payload":{},"id":"x"}"#), 422, "invalid-body"),
        (one(r#"{"type":"A","payload":{},"event_id":"x"}"#), 422, "invalid-body"),
        (one(r#"{"type":"A","payload":{},"schema_version":2147483648}"#), 422, "invalid-body"),
        (one(r#"{"type":"A","payload":{},"occurred_at":"yesterday"}"#), 422, "invalid-body"),
        (one(r#"{"type":"A","payload":{},"schema_version":0}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":{},"schema_version":-1}"#), 422, "invalid-event"),
        (one(r#"{"type":"","payload":{}}"#), 422, "invalid-event"),
        (one(r#"{"type":"A\u0000","payload":{}}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":{},"correlation_id":"\u0000"}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":[]}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":"text"}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":null}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":{"a":"\u0000"}}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":{"a":"\ud800"}}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":{"type":"B"}}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":{"a":1e999999999}}"#), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":{"a":[1e131071,1e131071]}}"#), 422, "invalid-event"),
        (one(&format!(r#"{{"type":"A","payload":{nested}}}"#)), 422, "invalid-event"),
        (one(r#"{"type":"A","payload":{},"occurred_at":"+262142-01-01T00:00:00Z"}"#), 201, ""),
        (
            one(r#"{"type":"A","payload":{},"occurred_at":"-262142-01-01T00:00:00Z"}"#),
            422,
            "invalid-event",
        ),
        (
            one(&format!(r#"{{"type":"{}","payload":{{}}}}"#, "t".repeat(10_000))),
            422,
            "invalid-event",
        ),
        (
            one(&format!(
                r#"{{"type":"A","payload":{{}},"causation_id":"{}"}}"#,
                "c".repeat(10_000)
            )),
            422,
            "invalid-event",
        ),
        (json!({"events": [], "expected_version": -1}).to_string(), 422, "invalid-body"),
        (json!({"events": [], "expected_version": 1.5}).to_string(), 422, "invalid-body"),
        (json!({"events": [], "expected_version": 2147483648i64}).to_string(), 422, "invalid-body"),
        (json!({"events": [], "expected_version": "5"}).to_string(), 422, "invalid-body"),
    ];
    for (body, status, code) in cases {
        let before = api.rows().await;
        let shown: String = body.chars().take(100).collect();
        let answer = ask(api.post_text(STREAM, body)).await;
        println!("{shown}: {}", answer.body);
        if status < 400 {
            answer.is(status);
            continue;
        }
        answer.problem(status, code);
        assert_eq!(api.rows().await, before, "{shown}");
    }
    let not_text =
        ask(api.post_text(STREAM, b"{\"events\":[{\"type\":\"\xff\",\"payload\":{}}]}".to_vec()));
    not_text.await.problem(400, "malformed-json");
    let plain = api.request(Method::POST, STREAM).body(events(1).to_string());
    ask(plain.try_clone().unwrap()).await.problem(415, "unsupported-media-type");
    ask(plain.header("content-type", "text/plain")).await.problem(415, "unsupported-media-type");
    assert_eq!(api.rows().await.0, 1);
    api.stop().await;
}

#[tokio::test]
async fn what_is_too_large_hears_so_before_it_is_stored() {
    let limits =
        HttpLimits { events: 3, payload_bytes: 1000, body_bytes: 4000, ..HttpLimits::default() };
    let api = Api::start(HttpConfig { limits, ..open() }).await;
    ask(api.post(STREAM, &events(4))).await.problem(413, "too-large");
    let mut large = events(2);
    large["events"][1]["payload"] = json!({"text": "x".repeat(1000)});
    let refused = ask(api.post(STREAM, &large)).await.problem(413, "too-large");
    assert_eq!(refused.body["event"], 1);
    ask(api.post_text(STREAM, "x".repeat(4001))).await.problem(413, "too-large");
    // Without a length that is known before.
    let chunks = (0..50).map(|_| Ok::<_, std::io::Error>("x".repeat(1000)));
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    ask(api.post_text(STREAM, chunked)).await.problem(413, "too-large");
    assert_eq!(api.rows().await, (0, 0, 0));
    ask(api.post(STREAM, &events(3))).await.is(201);
    api.stop().await;
}

#[tokio::test]
async fn fifty_megabytes_are_refused_with_an_answer_that_arrives() {
    let api = Api::start(open()).await;
    let body =
        format!(r#"{{"events":[{{"type":"A","payload":{{"a":"{}"}}}}]}}"#, "x".repeat(50_000_000));
    ask(api.post_text(STREAM, body)).await.problem(413, "too-large");
    assert_eq!(api.rows().await, (0, 0, 0));
    api.stop().await;
}

#[tokio::test]
async fn names_that_are_none() {
    let api = Api::start(open()).await;
    let long = "x".repeat(10_000);
    for path in [
        format!("/v1/streams/Account/{long}/events"),
        format!("/v1/streams/{long}/42/events"),
        format!("/v1/tenants/{long}/streams/Account/42/events"),
        "/v1/streams//42/events".to_owned(),
        "/v1/streams/Account/%00/events".to_owned(),
        "/v1/streams/Account/%ff/events".to_owned(),
        "/v1/tenants/%00/streams/Account/42/events".to_owned(),
    ] {
        ask(api.post(&path, &events(1))).await.problem(400, "invalid-request");
        ask(api.get(&path)).await.problem(400, "invalid-request");
    }
    for tenant in ["", "\u{e9}", &long] {
        let post = api.post(STREAM, &events(1)).header("x-tenant", tenant);
        ask(post).await.problem(400, "invalid-request");
    }
    assert_eq!(api.rows().await, (0, 0, 0));
    api.stop().await;
}

#[tokio::test]
async fn a_tenant_that_nobody_knows_is_taken_for_a_mistake() {
    let api = Api::start(open()).await;
    let path = "/v1/tenants/amce/streams/Account/42/events";
    ask(api.post(path, &events(1))).await.problem(404, "unknown-tenant");
    ask(api.get(path)).await.problem(404, "unknown-tenant");
    ask(api.get("/v1/tenants/amce/events")).await.problem(404, "unknown-tenant");
    assert_eq!(api.rows().await, (0, 0, 0));
    // One that has events, from whichever program, is known.
    let store = eventfabric::store::EventStore::new(api.db.pool(1).await);
    let stream = eventfabric::event::StreamId::new("Account", "42").in_tenant("amce");
    store
        .append(stream, eventfabric::event::ExpectedVersion::Any, crate::store::events(1))
        .await
        .unwrap();
    assert_eq!(ask(api.post(path, &events(1))).await.is(201).body["version"], 2);
    api.stop().await;

    let any = Api::start(HttpConfig { new_tenants: true, ..open() }).await;
    ask(any.post(path, &events(1))).await.is(201);
    any.stop().await;
}

#[tokio::test]
async fn sql_in_every_field_is_text() {
    let sql = "'; DROP TABLE eventfabric.events; --";
    let api = Api::start(HttpConfig { new_tenants: true, ..open() }).await;
    let encoded = "'%3B%20DROP%20TABLE%20eventfabric.events%3B%20--";
    let path = format!("/v1/tenants/{encoded}/streams/{encoded}/{encoded}/events");
    let body = json!({"events": [{"type": sql, "payload": {(sql): sql}, "correlation_id": sql,
                                  "causation_id": sql}]});
    ask(api.post(&path, &body).header("idempotency-key", sql)).await.is(201);
    let again = ask(api.post(&path, &body).header("idempotency-key", sql)).await.is(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let event = &ask(api.get(&path)).await.is(200).body["events"][0];
    for field in ["tenant", "aggregate", "id", "type", "correlation_id", "causation_id"] {
        assert_eq!(event[field], sql);
    }
    assert_eq!(event["payload"][sql], sql);
    let log = format!("/v1/tenants/{encoded}/events?type={encoded}&aggregate={encoded}");
    assert_eq!(ask(api.get(&log)).await.is(200).body["events"][0]["type"], sql);
    for wrong in [format!("after={encoded}"), format!("limit={encoded}"), format!("{encoded}=1")] {
        ask(api.get(&format!("/v1/events?{wrong}"))).await.problem(400, "invalid-request");
    }
    let expected = json!({"events": [], "expected_version": sql});
    ask(api.post(STREAM, &expected)).await.problem(422, "invalid-body");
    api.stop().await;
}

#[tokio::test]
async fn what_the_router_refuses_is_a_problem_document_too() {
    let api = Api::start(open()).await;
    for path in ["/", "/v1", "/v2/events", "/v1/streams/", "/v1/events/"] {
        ask(api.get(path)).await.problem(404, "not-found");
    }
    let wrong = ask(api.request(Method::DELETE, STREAM)).await.problem(405, "method-not-allowed");
    let allowed = wrong.header("allow").unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    api.stop().await;
}

#[tokio::test]
async fn without_tokens_only_names_of_this_machine_are_answered() {
    let api = Api::start(open()).await;
    let rebound = api.get("/v1/events").header("host", "attacker.example");
    ask(rebound).await.problem(403, "forbidden");
    ask(api.get("/v1/events").header("host", "localhost")).await.is(200);
    api.stop().await;
}
