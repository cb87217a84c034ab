//! Relaying the log to a real server of NATS.

mod apart;
mod delivery;
mod secure;
mod trouble;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use eventfabric::relay::NatsConfig;
use eventfabric::runner::HostConfig;
use eventfabric_tests::nats_server;
use serde_json::{Value, json};

use crate::runners::rig::{World, quick, until};

/// The projection of the relays here.
const RELAY: &str = "relay:test";

/// A server with JetStream, in a folder of its own.
struct Nats {
    program: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Nats {
    /// Nothing where there is no server.
    async fn start() -> Option<Self> {
        Self::start_with("").await
    }

    /// The same with more in its settings.
    async fn start_with(settings: &str) -> Option<Self> {
        let program = nats_server()?;
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store").display().to_string();
        let config = format!("jetstream {{ store_dir: {store:?} }}\n{settings}\n");
        std::fs::write(dir.path().join("nats.conf"), config).unwrap();
        let child = Self::spawn(&program, dir.path(), "-1");
        let mut nats = Self { program, dir, port: 0, child };
        let ports = nats.dir.path().join(format!("nats-server_{}.ports", nats.child.id()));
        until("the server says where it is", async || ports.is_file()).await;
        let ports: Value = serde_json::from_str(&std::fs::read_to_string(ports).unwrap()).unwrap();
        let url = ports["nats"][0].as_str().unwrap();
        nats.port = url.rsplit(':').next().unwrap().parse().unwrap();
        Some(nats)
    }

    fn spawn(program: &std::path::Path, dir: &std::path::Path, port: &str) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        Command::new(program)
            .args(["-c", "nats.conf", "-a", "127.0.0.1", "-p", port, "--ports_file_dir", "."])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, where it was.
    fn restart(&mut self) {
        self.child = Self::spawn(&self.program, self.dir.path(), &self.port.to_string());
    }

    async fn client(&self) -> jetstream::Context {
        let connect = async_nats::ConnectOptions::new().retry_on_initial_connect();
        jetstream::new(connect.connect(self.url()).await.unwrap())
    }

    /// All messages of the stream, in its order.
    async fn messages(&self) -> Vec<Message> {
        let stream = self.client().await.get_stream("EVENTS").await.unwrap();
        let mut messages = Vec::new();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let header =
                |(name, values): (&async_nats::HeaderName, &Vec<async_nats::HeaderValue>)| {
                    (name.to_string(), values[0].to_string())
                };
            messages.push(Message {
                subject: message.subject.to_string(),
                headers: message.headers.iter().map(header).collect(),
                body: serde_json::from_slice(&message.payload).unwrap(),
            });
        }
        messages
    }

    /// How many messages the stream holds; none where it is not there.
    async fn count(&self) -> u64 {
        let stream = self.client().await.get_stream("EVENTS").await;
        stream.map_or(0, |stream| stream.cached_info().state.messages)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- log of nats-server\n{log}");
        }
    }
}

/// What the stream holds of an event.
struct Message {
    subject: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

impl Message {
    fn position(&self) -> i64 {
        self.headers["Eventfabric-Position"].parse().unwrap()
    }
}

/// A relay to this server, which makes the stream; with these settings over that.
fn relay(nats: &Nats, over: Value) -> HostConfig {
    let mut settings = json!({"url": nats.url(), "stream": "EVENTS", "create": true});
    settings.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    let config: NatsConfig = serde_json::from_value(settings).unwrap();
    config.check("test").unwrap();
    HostConfig { relays: vec![config.relay("test", &BTreeMap::new())], ..quick() }
}

/// Waits until the relay has come to the end of the log.
async fn caught_up(world: &World) {
    let behind = format!(
        "SELECT count(*) FROM eventfabric.events e
         LEFT JOIN eventfabric.projection_checkpoints k
                ON k.projection_name = '{RELAY}' AND k.tenant_id = e.tenant_id
         WHERE e.global_position > coalesce(k.last_global_position, 0)"
    );
    world.until_number(&behind, 0).await;
}

/// Waits until the registry says this of the relay.
async fn until_error(world: &World, state: &str, text: &str) -> String {
    let error = format!(
        "SELECT last_error FROM eventfabric.projections
         WHERE projection_name = '{RELAY}' AND state = '{state}' AND last_error IS NOT NULL"
    );
    let mut last = Vec::new();
    for _ in 0..1500 {
        last = world.texts(&error).await;
        if last.first().is_some_and(|last| last.contains(text)) {
            return last.remove(0);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for {text:?}; there is {last:?}");
}
