//! What an operator asks: health, numbers, projections, plugins, dead letters, the document.

use eventfabric::event::StreamId;
use eventfabric::http::{HttpConfig, HttpLimits, Scope, TokenConfig, document};
use eventfabric_tests::workspace;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::runners::rig::{deploy_guest, until};
use super::{Api, ask, events, open};

const STREAM: &str = "/v1/streams/Account/42/events";

#[tokio::test]
async fn the_document_is_the_one_that_is_checked_in() {
    let golden = workspace().join("tests/golden/openapi.json");
    let now = document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &now).unwrap();
    }
    let before = std::fs::read_to_string(&golden).unwrap();
    assert!(now == before, "the API has changed: look at the change, then UPDATE_GOLDEN=1");
}

#[tokio::test]
async fn the_document_and_its_page_are_served_to_everybody() {
    let tokens = vec![TokenConfig {
        name: "one".to_owned(),
        token: Some("0123456789abcdef".to_owned()),
        token_sha256: None,
        token_env: None,
        scopes: [Scope::Read].into(),
        tenants: None,
    }];
    let api = Api::start(HttpConfig { tokens, ..HttpConfig::default() }).await;
    let served = ask(api.get("/openapi.json")).await.is(200).body;
    let made: Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
    assert_eq!(served, made);
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    let page = ask(api.get("/docs/")).await.is(200);
    assert!(page.body.as_str().unwrap().contains("swagger-ui"), "{}", page.body);
    ask(api.get("/healthz")).await.is(200);
    ask(api.get("/metrics")).await.problem(401, "unauthorized");
    ask(api.get("/metrics").bearer_auth("0123456789abcdef")).await.problem(403, "forbidden");
    api.stop().await;
}

#[tokio::test]
async fn the_document_has_the_limits_that_are_set_and_they_hold() {
    let limits = HttpLimits { events: 5, page: 7, ..HttpLimits::default() };
    let api = Api::start(HttpConfig { limits, ..open() }).await;
    let served = ask(api.get("/openapi.json")).await.is(200).body;
    assert_eq!(
        served.pointer("/components/schemas/Append/properties/events/maxItems"),
        Some(&json!(5))
    );
    let mut limited = 0;
    for operations in served["paths"].as_object().unwrap().values() {
        for operation in operations.as_object().unwrap().values() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            for limit in parameters.filter(|parameter| parameter["name"] == "limit") {
                assert_eq!(limit["schema"]["maximum"], 7, "{limit}");
                limited += 1;
            }
        }
    }
    assert!(limited >= 6, "{limited}");
    ask(api.post(STREAM, &events(5))).await.is(201);
    ask(api.post(STREAM, &events(6))).await.problem(413, "too-large");
    ask(api.get(&format!("{STREAM}?limit=7"))).await.is(200);
    ask(api.get(&format!("{STREAM}?limit=8"))).await.problem(400, "invalid-request");
    api.stop().await;
}

#[tokio::test]
async fn readiness_says_what_stands_still() {
    let api = Api::start(open()).await;
    until("it is ready", async || ask(api.get("/readyz")).await.status == 200).await;
    deploy_guest(&api.host, "hostile_catchup").await;
    let body = json!({"events": [{"type": "Deed", "payload": {"do": "panic"}}]});
    ask(api.post("/v1/streams/Deeds/1/events", &body)).await.is(201);
    until("it is not", async || ask(api.get("/readyz")).await.status == 503).await;
    let still = ask(api.get("/readyz")).await.is(503).body;
    assert_eq!(
        still,
        json!({"ready": false,
        "reasons": ["the projection hostile_catchup was stopped by an error"]})
    );
    ask(api.get("/healthz")).await.is(200);

    let projection = ask(api.get("/v1/projections/hostile_catchup")).await.is(200).body;
    assert_eq!((&projection["state"], &projection["behind"]), (&json!("failed"), &json!(1)));
    let all = ask(api.get("/v1/projections")).await.is(200).body;
    assert_eq!(all["projections"][0]["name"], "hostile_catchup");
    ask(api.get("/v1/projections/other")).await.problem(404, "projection-not-found");
    let plugins = ask(api.get("/v1/plugins")).await.is(200).body;
    assert_eq!(
        (&plugins["plugins"][0]["name"], &plugins["plugins"][0]["loaded"]),
        (&json!("hostile_catchup"), &json!(true))
    );
    api.stop().await;
}

#[tokio::test]
async fn dead_letters_are_listed_and_requeued_within_a_tenant() {
    let api = Api::start(HttpConfig { tenants: vec!["acme".into()], ..open() }).await;
    deploy_guest(&api.host, "hostile_async").await;
    let body = json!({"events": [{"type": "Deed", "payload": {"do": "poison"}}]});
    for path in ["/v1/streams/Deeds/1/events", "/v1/tenants/acme/streams/Deeds/1/events"] {
        ask(api.post(path, &body)).await.is(201);
    }
    let letters = async |path: &str| ask(api.get(path)).await.is(200).body["dead_letters"].clone();
    until("both are dead", async || {
        let own = letters("/v1/dead-letters").await.as_array().unwrap().len();
        own + letters("/v1/tenants/acme/dead-letters").await.as_array().unwrap().len() == 2
    })
    .await;
    let acme = letters("/v1/tenants/acme/dead-letters?projection=hostile_async").await[0].clone();
    assert_eq!((&acme["tenant"], &acme["event_type"]), (&json!("acme"), &json!("Deed")));
    let older = format!("/v1/tenants/acme/dead-letters?before={}", acme["id"]);
    assert_eq!(letters(&older).await, json!([]));
    // A letter of another tenant is none.
    let of_acme = json!({"ids": [acme["id"]]});
    let refused = ask(api.post("/v1/dead-letters/requeue", &of_acme)).await;
    refused.problem(404, "dead-letter-not-found");
    let requeued = ask(api.post("/v1/tenants/acme/dead-letters/requeue", &of_acme)).await.is(200);
    assert_eq!(requeued.body["requeued"], 1);
    let all = ask(api.post("/v1/dead-letters/requeue", &json!({"all": true}))).await.is(200);
    assert_eq!(all.body["requeued"], 1);
    for wrong in [
        json!({}),
        json!({"ids": []}),
        json!({"all": false}),
        json!({"ids": ["x"]}),
        json!({"ids": [1], "all": true}),
    ] {
        ask(api.post("/v1/dead-letters/requeue", &wrong)).await.problem(422, "invalid-body");
    }
    api.stop().await;
}

#[tokio::test]
async fn numbers_count_what_was_done() {
    let api = Api::start(open()).await;
    ask(api.post(STREAM, &events(3))).await.is(201);
    ask(api.post(STREAM, &events(3)).header("if-match", "\"1\"")).await;
    ask(api.request(reqwest::Method::from_bytes(b"MADEUP").unwrap(), "/v1/events")).await;
    let numbers = ask(api.get("/metrics")).await.is(200);
    let text = numbers.body.as_str().unwrap();
    for line in [
        "eventfabric_appends_total 1",
        "eventfabric_appended_events_total 3",
        "eventfabric_appends_refused_total{reason=\"conflict\"} 1",
        "route=\"/v1/streams/{aggregate}/{id}/events\"",
        "eventfabric_http_request_seconds_bucket",
        "eventfabric_database_connections{state=\"busy\"}",
    ] {
        assert!(text.contains(line), "no {line} in:\n{text}");
    }
    assert!(!text.contains("MADEUP"));
    api.stop().await;
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once_and_not_queued() {
    let limits = HttpLimits { requests: 1, ..HttpLimits::default() };
    let api = Api::start(HttpConfig { limits, ..open() }).await;
    // A lock on the stream keeps one append waiting.
    ask(api.post(STREAM, &events(1))).await.is(201);
    let pool = api.db.pool(1).await;
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM eventfabric.stream_versions FOR UPDATE")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let waiting = tokio::spawn(api.post(STREAM, &events(1)).send());
    let eyes = sqlx::PgPool::connect_lazy_with(api.db.superuser());
    let locked = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("the append waits", async || {
        sqlx::query_scalar::<_, i64>(locked).fetch_one(&eyes).await.unwrap() == 1
    })
    .await;
    let refused = ask(api.get(STREAM)).await.problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    ask(api.get("/healthz")).await.is(200);
    blocker.rollback().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 201);
    api.stop().await;
}

#[tokio::test]
async fn an_answer_that_takes_too_long_says_that_the_append_may_have_been_made() {
    let answer = std::time::Duration::from_millis(300);
    let limits = HttpLimits { answer, ..HttpLimits::default() };
    let api = Api::start(HttpConfig { limits, ..open() }).await;
    let appended = |key: &'static str| api.post(STREAM, &events(1)).header("idempotency-key", key);
    let keyed = || appended("k");
    // The first append of a host can take that long by itself.
    until("there is a stream", async || ask(appended("first")).await.status == 201).await;
    let pool = api.db.pool(1).await;
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM eventfabric.stream_versions FOR UPDATE")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let late = ask(keyed()).await.problem(503, "time-out");
    assert!(late.body["detail"].as_str().unwrap().contains("Idempotency-Key"));
    blocker.rollback().await.unwrap();
    until("it is made, once", async || ask(keyed()).await.status == 201).await;
    assert_eq!(api.rows().await.0, 2);
    api.stop().await;
}

#[tokio::test]
async fn a_client_that_is_slow_to_send_is_not_waited_for() {
    let receive = std::time::Duration::from_millis(200);
    let limits = HttpLimits { receive, ..HttpLimits::default() };
    let api = Api::start(HttpConfig { limits, ..open() }).await;
    let mut slow = tokio::net::TcpStream::connect(api.address).await.unwrap();
    let head = format!(
        "POST {STREAM} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("receive-time-out"), "{answer}");
    // Not even a head.
    let mut slow = tokio::net::TcpStream::connect(api.address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let mut nothing = Vec::new();
    slow.read_to_end(&mut nothing).await.unwrap();
    api.stop().await;
}

#[tokio::test]
async fn inline_projections_run_on_appends_and_can_refuse_them() {
    let api = Api::start(open()).await;
    deploy_guest(&api.host, "hostile_inline").await;
    let deed = |payload: Value| json!({"events": [{"type": "Deed", "payload": payload}]});
    let path = "/v1/streams/Deeds/1/events";
    ask(api.post(path, &deed(json!({})))).await.is(201);
    let seen = "SELECT count(*) FROM hostile_inline.seen";
    let pool = sqlx::PgPool::connect_lazy_with(api.db.superuser());
    assert_eq!(sqlx::query_scalar::<_, i64>(seen).fetch_one(&pool).await.unwrap(), 1);
    let refused = ask(api.post(path, &deed(json!({"do": "poison"})))).await;
    let refused = refused.problem(422, "refused-by-projection");
    assert!(refused.body["detail"].as_str().unwrap().contains("hostile_inline"));
    let store = api.host.store();
    let stream = StreamId::new("Deeds", "1");
    assert_eq!(store.stream_version(&stream).await.unwrap(), Some(1));
    api.stop().await;
}
