//! An operator changes projections: pause, resume, reset, rebuild.

use eventfabric::http::{HttpConfig, Scope, TokenConfig};
use serde_json::json;

use super::super::runners::rig::{deploy_bytes, deploy_guest, other_version, until};
use super::{Api, ask, events, open};

const AT: &str = "/v1/projections/hostile_catchup";
const STREAM: &str = "/v1/streams/Deeds/1/events";
const SEEN: &str = "SELECT count(*) FROM hostile_catchup.seen";

async fn number(api: &Api, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(api.host.store().pool()).await.unwrap()
}

#[tokio::test]
async fn a_projection_is_paused_and_resumed() {
    let api = Api::start(open()).await;
    deploy_guest(&api.host, "hostile_catchup").await;
    let body = json!({"by": "ada", "reason": "the disk is full"});
    let paused = ask(api.post(&format!("{AT}/pause"), &body)).await.is(200).body;
    assert_eq!(paused["state"], "paused");
    assert_eq!(paused["paused"]["by"], "ada");
    assert_eq!(paused["paused"]["reason"], "the disk is full");
    ask(api.post(STREAM, &events(2))).await.is(201);
    let waits = ask(api.get(AT)).await.is(200).body;
    assert_eq!((&waits["behind"], &waits["position"]), (&json!(2), &json!(0)));
    assert!(waits["lag_seconds"].as_f64().unwrap() > 0.0, "{waits}");
    let resumed = ask(api.post(&format!("{AT}/resume"), &json!({}))).await.is(200).body;
    assert_eq!((&resumed["state"], &resumed["paused"]), (&json!("running"), &json!(null)));
    until("it has caught up", async || ask(api.get(AT)).await.body["behind"] == 0).await;
    ask(api.post(&format!("{AT}/resume"), &json!({}))).await.problem(409, "projection-state");
    ask(api.post("/v1/projections/nobody/pause", &json!({})))
        .await
        .problem(404, "projection-not-found");
    ask(api.post(&format!("{AT}/pause"), &json!({"why": 1}))).await.problem(422, "invalid-body");
    api.stop().await;
}

#[tokio::test]
async fn a_projection_is_rebuilt_by_the_host_and_reset() {
    let api = Api::start(open()).await;
    deploy_guest(&api.host, "hostile_catchup").await;
    ask(api.post(STREAM, &events(30))).await.is(201);
    until("all are handled", async || number(&api, SEEN).await == 30).await;
    let table = "SELECT 'hostile_catchup.seen'::regclass::oid::bigint";
    let before = number(&api, table).await;
    ask(api.post(&format!("{AT}/rebuild"), &json!({"shards": 2}))).await.is(202);
    until("it is rebuilt", async || number(&api, table).await != before).await;
    assert_eq!(ask(api.get(AT)).await.body["rebuild"], json!(null));
    assert_eq!(number(&api, SEEN).await, 30);

    let body = json!({"to": "beginning", "truncate": true});
    let reset = ask(api.post(&format!("{AT}/reset"), &body)).await.is(200).body;
    assert_eq!(reset["state"], "running");
    until("all are handled again", async || number(&api, SEEN).await == 30).await;
    ask(api.post(&format!("{AT}/reset"), &json!({"to": "then"})))
        .await
        .problem(422, "invalid-body");
    ask(api.post(&format!("{AT}/rebuild"), &json!({"shards": 0})))
        .await
        .problem(422, "invalid-body");
    deploy_guest(&api.host, "hostile_inline").await;
    for change in ["pause", "reset"] {
        let body = if change == "reset" { json!({"to": "now"}) } else { json!({}) };
        ask(api.post(&format!("/v1/projections/hostile_inline/{change}"), &body))
            .await
            .problem(409, "projection-state");
    }
    api.stop().await;
}

#[tokio::test]
async fn changing_a_projection_needs_an_operator() {
    let tokens = vec![TokenConfig {
        name: "one".to_owned(),
        token: Some("0123456789abcdef".to_owned()),
        token_sha256: None,
        token_env: None,
        scopes: [Scope::Read, Scope::Append].into(),
        tenants: None,
    }];
    let api = Api::start(HttpConfig { tokens, ..HttpConfig::default() }).await;
    for change in ["pause", "resume", "reset", "rebuild"] {
        let post = api.post(&format!("{AT}/{change}"), &json!({}));
        ask(post.bearer_auth("0123456789abcdef")).await.problem(403, "forbidden");
    }
    api.stop().await;
}

#[tokio::test]
async fn two_versions_are_compared_by_what_they_make_of_the_same_events() {
    let api = Api::start(open()).await;
    ask(api.post("/v1/streams/Deeds/1/events", &events(12))).await.is(201);
    let first = deploy_guest(&api.host, "hostile_catchup").await.version;
    let second = deploy_bytes(&api.host, other_version("hostile_catchup")).await.version;
    let at = "/v1/plugins/hostile_catchup/diff";
    let body = json!({"old": &first[..12], "new": second});
    let same = ask(api.post(at, &body)).await.is(200).body;
    assert_eq!((&same["old"], &same["new"]), (&json!(first), &json!(second)));
    assert_eq!((&same["events"], &same["tables"]), (&json!(12), &json!([])), "{same}");

    let one = deploy_guest(&api.host, "counter_v1").await.version;
    let two = deploy_guest(&api.host, "counter_v2").await.version;
    let at = "/v1/plugins/counter/diff";
    let differ = ask(api.post(at, &json!({"old": one, "new": two, "events": 5}))).await.is(200);
    let differ = differ.body;
    assert_eq!((&differ["events"], &differ["description"][0]["what"]), (&json!(5), &json!("text")));
    let counts = json!([{"table": "counts", "only_in_old": ["(v1,5)"], "only_in_new": ["(v2,5)"]}]);
    assert_eq!(differ["tables"], counts, "{differ}");
    // Nothing of it stays.
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'counter\\_\\_%'";
    assert_eq!(number(&api, left).await, 0);

    let none = json!({"old": one, "new": two, "events": 0});
    ask(api.post(at, &none)).await.problem(422, "invalid-body");
    let unknown = json!({"old": one, "new": "ffff"});
    ask(api.post(at, &unknown)).await.problem(409, "projection-state");
    api.stop().await;
}

#[tokio::test]
async fn a_plugin_is_rolled_back_and_its_past_is_told() {
    let api = Api::start(open()).await;
    let first = deploy_guest(&api.host, "hostile_catchup").await.version;
    let second = deploy_bytes(&api.host, other_version("hostile_catchup")).await.version;
    let at = "/v1/plugins/hostile_catchup";
    let states = async |body: &serde_json::Value| -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let versions = body["versions"].as_array().unwrap();
        versions.iter().map(|v| (text(&v["version"]), text(&v["state"]))).collect()
    };
    let body = ask(api.get(&format!("{at}/versions"))).await.is(200).body;
    let (active, retired) = ("active".to_owned(), "retired".to_owned());
    assert_eq!(
        states(&body).await,
        [(second.clone(), active.clone()), (first.clone(), retired.clone())]
    );
    let back = ask(api.post(&format!("{at}/rollback"), &json!({"by": "ada"}))).await.is(200).body;
    assert_eq!(states(&back).await, [(second.clone(), retired), (first.clone(), active)]);
    ask(api.post(&format!("{at}/rollback"), &json!({}))).await.problem(409, "projection-state");
    let past = ask(api.get(&format!("{at}/deployments"))).await.is(200).body;
    let newest = &past["deployments"][0];
    assert_eq!((&newest["action"], &newest["by"]), (&json!("rollback"), &json!("ada")));
    assert_eq!((&newest["version"], &newest["replaced"]), (&json!(first), &json!(second)));
    for what in ["versions", "deployments"] {
        ask(api.get(&format!("/v1/plugins/nobody/{what}")))
            .await
            .problem(404, "projection-not-found");
    }
    ask(api.post("/v1/plugins/nobody/rollback", &json!({})))
        .await
        .problem(404, "projection-not-found");
    api.stop().await;
}
