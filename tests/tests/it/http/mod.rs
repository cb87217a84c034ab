//! The HTTP API, in the order of a manual: appending, reading, subscribing, who may do what, and
//! what is refused.

mod appending;
mod changing;
mod looking;
mod monitoring;
mod operation;
mod plugins;
mod queries;
mod reading;
mod refused;
mod schemas;
mod subscribing;
mod tenants;
mod tokens;
mod ui;

use std::net::SocketAddr;
use std::sync::Arc;

use eventfabric::http::{HttpConfig, Server};
use eventfabric::runner::{Host, HostConfig};
use eventfabric_tests::{TestDb, database};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::runners::rig::quick;

/// A host with its API, in this process.
pub struct Api {
    pub db: TestDb,
    pub host: Arc<Host>,
    pub address: SocketAddr,
    client: reqwest::Client,
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

/// Everybody on this machine may do everything.
pub fn open() -> HttpConfig {
    HttpConfig { allow_anonymous: true, ..HttpConfig::default() }
}

impl Api {
    pub async fn start(config: HttpConfig) -> Self {
        Self::on(database().await, config).await
    }

    pub async fn on(db: TestDb, config: HttpConfig) -> Self {
        Self::with(db, quick(), config).await
    }

    pub async fn with(db: TestDb, host: HostConfig, config: HttpConfig) -> Self {
        let host = Arc::new(Host::open(db.options(), host, None).await.unwrap());
        let stop = CancellationToken::new();
        let any = "127.0.0.1:0".parse().unwrap();
        let topics = [("Account".to_owned(), "accounts".to_owned())].into();
        let server = Server::bind(host.clone(), &config, topics, any, stop.clone()).await.unwrap();
        let address = server.local_addr().unwrap();
        let (running, token) = (host.clone(), stop.clone());
        let tasks = [
            tokio::spawn(async move { running.run(None, token).await.unwrap() }),
            tokio::spawn(server.run()),
        ];
        // The workspace's other user of this client has it compiled with TLS, which asks for this.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { db, host, address, client, stop, tasks }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.post_text(path, body.to_string())
    }

    pub fn post_text(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let post = self.request(Method::POST, path);
        post.header("content-type", "application/json").body(body)
    }

    /// Events, streams and outbox rows: what a refused request must not change.
    pub async fn rows(&self) -> (i64, i64, i64) {
        super::store::rows(&self.db).await
    }

    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Sends a request and reads the answer.
pub async fn ask(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts that it is this success.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// Asserts that it is a problem document with this status and code.
    pub fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        assert_eq!(self.body["code"], code, "{}", self.body);
        assert_eq!(self.body["status"], status, "{}", self.body);
        assert_eq!(self.body["type"], format!("urn:eventfabric:problem:{code}"));
        for field in ["title", "detail"] {
            assert!(
                self.body[field].as_str().is_some_and(|text| !text.is_empty()),
                "{}",
                self.body
            );
        }
        self
    }
}

/// The body of an append of so many events, numbered from 1.
pub fn events(count: usize) -> Value {
    let event = |n| json!({"type": "Counted", "payload": {"n": n}});
    json!({ "events": (1..=count).map(event).collect::<Vec<_>>() })
}

/// The values of a field in a list of objects.
pub fn each(list: &Value, field: &str) -> Vec<i64> {
    list.as_array().unwrap().iter().map(|item| item[field].as_i64().unwrap()).collect()
}
