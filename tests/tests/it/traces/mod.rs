//! Traces, from the request to each statement and log line.

mod chain;
mod collector;
mod store;
mod trouble;

use std::path::Path;

use eventfabric_tests::target_dir;
use reqwest::Response;
use serde_json::{Value, json};

use super::runners::rig::{Process, World, folder, until};
use collector::Collector;

/// Two traces that began elsewhere, and a span of each.
const TRACES: [&str; 2] = ["4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"];
const SPAN: &str = "00f067aa0ba902b7";

/// What a caller sends, whose trace is recorded or not.
fn traceparent(trace: &str, sampled: bool) -> String {
    format!("00-{trace}-{SPAN}-0{}", u8::from(sampled))
}

/// A host with its API, in a process of its own.
struct Traced {
    host: Process,
    address: String,
    client: reqwest::Client,
}

impl Traced {
    /// With these plugins, and spans for this collector.
    async fn start(world: &World, guests: &[&str], otlp: &str, env: &[(&str, &str)]) -> Self {
        let folder = folder(guests);
        let env = [&[("EVENTFABRIC_TELEMETRY__OTLP", otlp)], env].concat();
        let traced = Self::run(world, folder.path(), &env).await;
        for guest in guests {
            let ready = format!(
                "SELECT count(*) FROM eventfabric.projections
                 WHERE projection_name = '{guest}' AND state = 'running'"
            );
            world.until_number(&ready, 1).await;
        }
        traced
    }

    async fn run(world: &World, folder: &Path, env: &[(&str, &str)]) -> Self {
        let args = [
            "run",
            "--plugins",
            folder.to_str().unwrap(),
            "--http",
            "127.0.0.1:0",
            "--http-no-tokens",
            "--log-format",
            "json",
        ];
        let cache = target_dir().join("it-cache");
        let env = [&[("XDG_CACHE_HOME", cache.to_str().unwrap())], env].concat();
        let host = Process::start(world, &args, &env);
        host.until_log("listens on http://").await;
        let log = host.log();
        let (_, address) = log.split_once("listens on http://").unwrap();
        let address = address.split(['"', ' ', '\n']).next().unwrap().to_owned();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { host, address, client }
    }

    /// Appends a deed in a trace.
    async fn append(&self, id: &str, payload: &Value, headers: &[(&str, &str)]) -> Response {
        let url = format!("http://{}/v1/streams/Deeds/{id}/events", self.address);
        let body = json!({"events": [{"type": "Deed", "payload": payload}]});
        let mut request = self.client.post(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 201);
        response
    }

    async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The lines of the log of a trace.
    fn lines_of(&self, trace: &str) -> Vec<Value> {
        let log = self.host.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["trace_id"] == trace).collect()
    }
}

/// What is stored of the traces of events, in their order.
const STORED: &str = "SELECT traceparent FROM eventfabric.event_traces ORDER BY global_position";
