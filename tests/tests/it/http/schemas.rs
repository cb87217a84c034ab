//! Schemas of events over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, ask, open};

const SCHEMA: &str = "/v1/schemas/Counted%2Fx/1";

fn put(api: &Api, body: &Value) -> reqwest::RequestBuilder {
    let put = api.request(Method::PUT, SCHEMA).header("content-type", "application/json");
    put.body(body.to_string())
}

#[tokio::test]
async fn a_schema_is_registered_enforced_and_forgotten() {
    let api = Api::start(open()).await;
    let schema = json!({"properties": {"n": {"type": "integer"}}});
    let registered =
        ask(put(&api, &json!({"schema": schema, "enforced": true, "by": "ada"}))).await;
    let registered = registered.is(200).body;
    assert_eq!((&registered["schema"], &registered["registered_by"]), (&schema, &json!("ada")));
    let event = |n: Value| json!({"events": [{"type": "Counted/x", "payload": {"n": n}}]});
    let stream = "/v1/streams/Counter/1/events";
    let refused = ask(api.post(stream, &event(json!("x")))).await.problem(422, "invalid-event");
    assert!(refused.body["detail"].as_str().unwrap().contains("/n: "), "{}", refused.body);
    assert_eq!(refused.body["event"], 0);
    ask(api.post(stream, &event(json!(1)))).await.is(201);
    let listed = ask(api.get("/v1/schemas?type=Counted%2Fx")).await.is(200).body;
    assert_eq!(listed["schemas"], json!([registered]));
    assert_eq!(ask(api.get(SCHEMA)).await.is(200).body, registered);
    ask(put(&api, &json!({"schema": {}}))).await.problem(409, "schema-taken");
    ask(put(&api, &json!({"schema": {"type": 5}}))).await.problem(422, "invalid-body");
    ask(api.get("/v1/schemas/Counted/0")).await.problem(400, "invalid-request");
    ask(api.request(Method::DELETE, SCHEMA)).await.is(204);
    ask(api.request(Method::DELETE, SCHEMA)).await.problem(404, "schema-not-found");
    ask(api.get(SCHEMA)).await.problem(404, "schema-not-found");
    ask(api.post(stream, &event(json!("x")))).await.is(201);
    api.stop().await;
}
