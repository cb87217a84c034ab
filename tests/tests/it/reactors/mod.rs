//! Reactors: what they send to other systems, and what they can't.

mod attacks;
mod delivery;
mod server;
mod tls;

use eventfabric::event::StreamId;
use eventfabric::plugin::Limits;
use eventfabric::runner::{Host, HostConfig};
use serde_json::{Value, json};

use super::runners::rig::{Running, World, append, deploy_guest, quick};
use server::{Reply, Server};

/// A host with the guest `reactor`, which may send to one server.
struct Rig {
    world: World,
    running: Running,
    server: Server,
}

impl Rig {
    async fn new() -> Self {
        Self::of(quick()).await
    }

    async fn of(config: HostConfig) -> Self {
        let (world, server) = (World::new().await, Server::start().await);
        let running = Running::start(&world, config).await;
        grant(&running.host, "reactor", &[&server.grant()]).await;
        deploy_guest(&running.host, "reactor").await;
        Self { world, running, server }
    }

    /// Limits that are reached sooner.
    async fn narrow() -> Self {
        let config = quick();
        let limits = Limits { request_bytes: 4096, answer_bytes: 4096, ..config.limits };
        Self::of(HostConfig { limits, ..config }).await
    }

    /// Appends events that tell the guest what to do, to one stream.
    async fn ask(&self, deeds: &[Value]) -> Vec<i64> {
        append(self.running.host.store(), StreamId::new("Asked", "1"), "Asked", deeds).await
    }

    /// Has it send these requests, and waits for what came of each: the outcome, and the reason.
    async fn outcomes(&self, requests: &[Value]) -> Vec<(String, String)> {
        let position = self.ask(&[json!({"requests": requests})]).await[0];
        let handled = format!("SELECT count(*) FROM reactor.sent WHERE position = {position}");
        self.world.until_number(&format!("{handled} AND number >= 1"), requests.len() as i64).await;
        let of = |column: &str| {
            format!("SELECT {column} FROM reactor.sent WHERE position = {position} ORDER BY number")
        };
        let outcomes = self.world.texts(&of("outcome")).await;
        outcomes.into_iter().zip(self.world.texts(&of("detail")).await).collect()
    }

    /// The same of one request.
    async fn outcome(&self, request: Value) -> (String, String) {
        self.outcomes(&[request]).await.remove(0)
    }

    async fn until_handled(&self, events: i64) {
        let sql = "SELECT count(DISTINCT position) FROM reactor.sent";
        self.world.until_number(sql, events).await;
    }
}

async fn grant(host: &Host, plugin: &str, grants: &[&str]) {
    let add: Vec<_> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
    host.registry().sandbox().change_grants(plugin, &add, &[], None).await.unwrap();
}

/// One request to this address, which must be answered well.
fn strict(url: &str) -> Value {
    json!({"strict": true, "requests": [{"url": url, "body": "{}"}]})
}
