//! The alert rules and the Grafana dashboard, against the numbers that a host exports.

use std::collections::BTreeSet;

use eventfabric_tests::workspace;
use serde_json::json;

use super::super::runners::rig::{deploy_guest, until};
use super::{Api, ask, open};

/// Names of numbers in a text. What follows one in the name of a histogram's part is left out.
fn names(text: &str) -> BTreeSet<String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !letter(c))
        .filter(|word| word.starts_with("eventfabric_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

fn file(path: &str) -> String {
    let path = workspace().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test]
async fn alerts_and_dashboard_ask_for_numbers_that_there_are() {
    let api = Api::start(open()).await;
    // No async projection: what is appended waits in the outbox.
    deploy_guest(&api.host, "hostile_catchup").await;
    let stream = "/v1/streams/Deeds/1/events";
    let body = json!({"events": [{"type": "Deed", "payload": {"do": "ok"}}]});
    ask(api.post(stream, &body)).await.is(201);
    ask(api.post(stream, &body).header("if-match", "\"7\"")).await.is(412);
    let subscribed = api.get("/v1/events/subscribe").send().await.unwrap();
    let wanted = names(
        &(file("host/packaging/prometheus/alerts.yaml")
            + &file("host/packaging/grafana/eventfabric.json")),
    );
    assert!(wanted.len() > 15, "{wanted:?}");
    until("all numbers are there", async || {
        let exported = names(ask(api.get("/metrics")).await.is(200).body.as_str().unwrap());
        wanted.is_subset(&exported)
    })
    .await;
    drop(subscribed);
    api.stop().await;
}
