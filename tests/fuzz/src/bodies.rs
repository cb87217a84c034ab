//! Requests with bodies that are nearly right: the answer is the client's fault, never the host's.

use std::sync::Arc;

use eventfabric::http::{HttpConfig, Server};
use eventfabric::runner::{Host, HostConfig};
use eventfabric_tests::database;
use rand::Rng;
use rand::rngs::StdRng;
use reqwest::Method;
use tokio_util::sync::CancellationToken;

use crate::Round;
use crate::mutate::mutate;

const REQUESTS: usize = 300;

/// Method, path, body.
const RIGHT: &[(&str, &str, &str)] = &[
    (
        "POST",
        "/v1/streams/Account/7/events",
        r#"{"expected_version":"any","events":[{"type":"Opened","version":1,"payload":{"n":1}}]}"#,
    ),
    ("POST", "/v1/streams/Account/8/events", r#"{"events":[{"type":"Opened","payload":{}}]}"#),
    ("GET", "/v1/streams/Account/7/events?from=1&limit=10&direction=forward", ""),
    ("GET", "/v1/events?after=0&limit=10&type=Opened", ""),
    ("GET", "/v1/projections", ""),
    ("PATCH", "/v1/projections/ledger", r#"{"shards":2,"topics":{"include":["a"]}}"#),
    ("POST", "/v1/projections/ledger/pause", ""),
    ("POST", "/v1/projections/ledger/reset", r#"{"to":"beginning"}"#),
    ("POST", "/v1/projections/ledger/rebuild", r#"{"shards":1,"from":"beginning"}"#),
    ("GET", "/v1/dead-letters?projection=ledger&limit=5", ""),
    ("POST", "/v1/dead-letters/requeue", r#"{"projection":"ledger","ids":[1,2]}"#),
    ("GET", "/readyz", ""),
];

/// Sends such requests to a host.
pub async fn round(rng: &mut StdRng) -> anyhow::Result<Round> {
    let mut round = Round::default();
    let db = database().await;
    let host = Arc::new(Host::open(db.options(), HostConfig::default(), None).await?);
    let stop = CancellationToken::new();
    let open = HttpConfig { allow_anonymous: true, ..HttpConfig::default() };
    let any = "127.0.0.1:0".parse()?;
    let server = Server::bind(host.clone(), &open, [].into(), any, stop.clone()).await?;
    let address = server.local_addr()?;
    let serving = tokio::spawn(server.run());
    // Reading the log waits for the one who follows it.
    let running = tokio::spawn({
        let (host, stop) = (host.clone(), stop.clone());
        async move { host.run(None, stop).await }
    });
    // Another user of this client has it compiled with TLS, which asks for this.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    for _ in 0..REQUESTS {
        let (method, path, body) = RIGHT[rng.random_range(0..RIGHT.len())];
        let (mut path, mut body) = (path.as_bytes().to_vec(), body.as_bytes().to_vec());
        if rng.random_ratio(1, 3) {
            mutate(rng, &mut path);
        }
        mutate(rng, &mut body);
        // What is no address is never sent.
        let Ok(path) = String::from_utf8(path) else { continue };
        let Ok(url) = reqwest::Url::parse(&format!("http://{address}{path}")) else { continue };
        if url.host_str() != Some("127.0.0.1") || url.port() != Some(address.port()) {
            continue;
        }
        let request = client.request(Method::from_bytes(method.as_bytes())?, url.clone());
        let request = request.header("content-type", "application/json").body(body.clone());
        let status = request.send().await.map(|answer| answer.status());
        match status {
            Ok(status) if status.is_server_error() && path != "/readyz" => {
                let body = String::from_utf8_lossy(&body);
                round.found(format!("{method} {url} {body}\n    was answered with {status}"));
            }
            Ok(status) if status.is_success() => round.count("done"),
            Ok(_) => round.count("refused"),
            Err(error) => round.found(format!("{method} {url}: {error}")),
        }
    }
    stop.cancel();
    serving.await?;
    running.await??;
    Ok(round)
}
