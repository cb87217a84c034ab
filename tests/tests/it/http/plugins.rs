//! An operator deploys plugins, gives them settings and reads what they say.

use eventfabric::http::{HttpConfig, Scope, TokenConfig};
use eventfabric::plugin::Limits;
use eventfabric_tests::{database, wasm};
use futures::StreamExt as _;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::super::runners::rig::{quick, until};
use super::{Api, ask, events, open};

const STREAM: &str = "/v1/streams/Deeds/1/events";

fn upload(api: &Api, path: &str, bytes: Vec<u8>) -> RequestBuilder {
    let request = api.request(Method::POST, path);
    request.header("content-type", "application/wasm").body(bytes)
}

fn guest(name: &str) -> Vec<u8> {
    std::fs::read(wasm(name)).unwrap()
}

fn deeds(payload: Value, count: usize) -> Value {
    let event = json!({"type": "Deed", "payload": payload});
    json!({"events": vec![event; count]})
}

async fn number(api: &Api, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(api.host.store().pool()).await.unwrap()
}

#[tokio::test]
async fn a_plugin_is_uploaded_rebuilt_taken_back_and_removed() {
    let api = Api::start(open()).await;
    let first = ask(upload(&api, "/v1/plugins?by=ada", guest("ledger_v1"))).await.is(200).body;
    assert_eq!((&first["plugin"], &first["unchanged"]), (&json!("ledger"), &json!(false)));
    ask(api.post(STREAM, &events(12))).await.is(201);
    let one = "SELECT count(*) FROM ledger.entries WHERE made_by = 1";
    until("it has them", async || number(&api, one).await == 12).await;
    let again = ask(upload(&api, "/v1/plugins", guest("ledger_v1"))).await.is(200).body;
    assert_eq!(again["unchanged"], json!(true));
    let other = ask(upload(&api, "/v1/plugins", guest("ledger_v2"))).await;
    let refused = other.problem(409, "projection-state").body;
    assert!(refused["detail"].as_str().unwrap().contains("has changed"), "{refused}");
    assert_eq!(refused["cause"], "migration-changed");
    let path = "/v1/plugins?rebuild=true&by=ada&canary=5";
    ask(upload(&api, path, guest("ledger_v2"))).await.is(202);
    let two = "SELECT count(*) FROM ledger.entries WHERE made_by = 2";
    until("it has come with its tables", async || number(&api, two).await == 12).await;
    let past = ask(api.get("/v1/plugins/ledger/deployments")).await.is(200).body;
    let last = &past["deployments"][0];
    assert_eq!(
        (&last["by"], &last["rebuilt"], &last["tried"]),
        (&json!("ada"), &json!(true), &json!(5))
    );
    let versions = ask(api.get("/v1/plugins/ledger/versions")).await.is(200).body;
    assert_eq!(versions["versions"][0]["handled"][0]["last"], json!(12), "{versions}");
    // Back to the tables that are kept.
    ask(api.post("/v1/plugins/ledger/rollback", &json!({"by": "bob"}))).await.is(202);
    until("the first one is back", async || number(&api, one).await == 12).await;
    let remove = json!({"drop_tables": true, "by": "bob"});
    ask(api.post("/v1/plugins/ledger/remove", &remove)).await.is(204);
    ask(api.post("/v1/plugins/ledger/remove", &remove)).await.problem(404, "projection-not-found");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ledger%'";
    assert_eq!(number(&api, schemas).await, 0);
    api.stop().await;
}

#[tokio::test]
async fn what_is_no_plugin_or_too_large_is_refused() {
    let size = guest("counter_v1").len();
    let limits = Limits { component_bytes: size, ..quick().limits };
    let config = eventfabric::runner::HostConfig { limits, ..quick() };
    let api = Api::with(database().await, config, open()).await;
    ask(upload(&api, "/v1/plugins", b"\0asm".to_vec())).await.problem(422, "invalid-body");
    ask(upload(&api, "/v1/plugins", vec![0; size + 1])).await.problem(413, "too-large");
    ask(api.post("/v1/plugins", &json!({}))).await.problem(415, "unsupported-media-type");
    let both = "/v1/plugins?at=5&rebuild=true";
    ask(upload(&api, both, guest("counter_v1"))).await.problem(400, "invalid-request");
    ask(upload(&api, "/v1/plugins?at=5", guest("counter_v1")))
        .await
        .problem(409, "projection-state");
    ask(upload(&api, "/v1/plugins", guest("counter_v1"))).await.is(200);
    api.stop().await;
}

#[tokio::test]
async fn only_an_admin_deploys() {
    let token = |name: &str, scope| TokenConfig {
        name: name.to_owned(),
        token: Some(format!("0123456789abcdef-{name}")),
        token_sha256: None,
        token_env: None,
        scopes: [scope].into(),
        tenants: None,
    };
    let tokens = vec![token("reader", Scope::Read), token("admin", Scope::Admin)];
    let api = Api::start(HttpConfig { tokens, ..HttpConfig::default() }).await;
    let by = |name: &str| {
        upload(&api, "/v1/plugins", guest("counter_v1"))
            .bearer_auth(format!("0123456789abcdef-{name}"))
    };
    ask(upload(&api, "/v1/plugins", guest("counter_v1"))).await.problem(401, "unauthorized");
    ask(by("reader")).await.problem(403, "forbidden");
    ask(by("admin")).await.is(200);
    api.stop().await;
}

#[tokio::test]
async fn settings_are_put_as_a_whole_and_the_next_batch_has_them() {
    let api = Api::start(open()).await;
    let at = "/v1/plugins/hostile_catchup/config";
    let put = async |settings: Value| {
        let request = api.request(Method::PUT, at).header("content-type", "application/json");
        ask(request.body(json!({"settings": settings, "by": "ada"}).to_string())).await
    };
    put(json!({"do": "ok", "region": "eu"})).await.is(200);
    ask(upload(&api, "/v1/plugins", guest("hostile_catchup"))).await.is(200);
    ask(api.post(STREAM, &deeds(json!({"do": "config"}), 3))).await.is(201);
    let seen = "SELECT count(*) FROM hostile_catchup.seen";
    until("they are handled", async || number(&api, seen).await == 3).await;
    let now = put(json!({"do": "use_random"})).await.is(200).body;
    assert_eq!(now["settings"].as_object().unwrap().len(), 1, "{now}");
    assert_eq!(now["settings"]["do"]["set_by"], "ada");
    ask(api.post(STREAM, &deeds(json!({"do": "config"}), 1))).await.is(201);
    let random = "SELECT count(*) FROM hostile_catchup.seen WHERE note ~ '^[0-9]{5,}$'";
    until("the new setting holds", async || number(&api, random).await == 1).await;
    let past = ask(api.get("/v1/plugins/hostile_catchup/deployments")).await.is(200).body;
    assert_eq!(past["deployments"][0]["action"], "config");
    put(json!({"": "x"})).await.problem(422, "invalid-body");
    assert_eq!(ask(api.get(at)).await.is(200).body, now);
    for change in ["pause", "resume"] {
        let path = format!("/v1/plugins/hostile_catchup/{change}");
        ask(api.post(&path, &json!({}))).await.is(200);
    }
    api.stop().await;
}

#[tokio::test]
async fn what_a_plugin_says_is_read_and_followed() {
    let api = Api::start(open()).await;
    ask(upload(&api, "/v1/plugins", guest("hostile_catchup"))).await.is(200);
    ask(api.post(STREAM, &deeds(json!({"do": "log_flood", "n": 3}), 1))).await.is(201);
    let at = "/v1/plugins/hostile_catchup/logs";
    let said = async || ask(api.get(&format!("{at}?level=info"))).await.is(200).body;
    until("its lines are kept", async || said().await["lines"].as_array().unwrap().len() == 3)
        .await;
    let lines = said().await;
    assert_eq!(lines["lines"][2]["message"], "line 2");
    assert_eq!(lines["lines"][0]["positions"], "1-1");
    let last = ask(api.get(&format!("{at}?lines=1"))).await.is(200).body;
    assert_eq!(last["lines"][0], lines["lines"][2]);
    ask(api.get(&format!("{at}?level=loud"))).await.problem(400, "invalid-request");
    let follow = api.get(&format!("{at}?follow=true&lines=1")).send().await.unwrap();
    assert_eq!(follow.headers()["content-type"], "text/event-stream");
    let mut chunks = follow.bytes_stream();
    let mut text = String::new();
    ask(api.post(STREAM, &deeds(json!({"do": "print"}), 1))).await.is(201);
    while !text.contains("to standard error") {
        let chunk = chunks.next().await.expect("it goes on").unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.contains("line 2") && !text.contains("line 1"), "{text}");
    assert_eq!(text.matches("to standard output").count(), 1, "{text}");
    drop(chunks);
    api.stop().await;
}
