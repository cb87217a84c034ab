//! Tenants with databases of their own behind one API.

use std::sync::Arc;
use std::time::Duration;

use eventfabric::http::{HttpConfig, Server};
use eventfabric::runner::{Fleet, Host};
use eventfabric::tenancy::{Directory, TenancyConfig, Tenants};
use eventfabric_tests::{TestDb, bare_database, database};
use reqwest::RequestBuilder;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Answer, ask, open, quick};
use crate::store::rows;

struct Api {
    control: TestDb,
    own: TestDb,
    url: String,
    client: reqwest::Client,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// An API on a database, beside a tenant `own` with one of its own and a tenant `dead` whose database
/// has no tables.
async fn start() -> (Api, TestDb) {
    let (control, own, dead) = (database().await, database().await, bare_database().await);
    let tenants = [("own", &own), ("dead", &dead)];
    let tenants = tenants.map(|(name, db)| (name.parse().unwrap(), db.url().parse().unwrap()));
    let config = TenancyConfig { follow: Duration::from_millis(100), ..TenancyConfig::default() };
    let hosts = Tenants::hosts(Directory::fixed(tenants.into()), config, quick(), false).unwrap();
    let host = Arc::new(Host::open(control.options(), quick(), None).await.unwrap());
    let stop = CancellationToken::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let config = HttpConfig { new_tenants: true, ..open() };
    let server = Server::bind(host.clone(), &config, [].into(), any, stop.clone()).await.unwrap();
    let server = server.with_tenants(hosts.clone());
    let url = format!("http://{}", server.local_addr().unwrap());
    let fleet = Arc::new(Fleet::new(hosts, None));
    let (one, two) = (stop.clone(), stop.clone());
    let tasks = vec![
        tokio::spawn(server.run()),
        tokio::spawn(async move { fleet.run(one).await }),
        tokio::spawn(async move { host.run(None, two).await.unwrap() }),
    ];
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    (Api { control, own, url, client, stop, tasks }, dead)
}

impl Api {
    fn get(&self, path: &str, tenant: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).header("x-tenant", tenant)
    }

    async fn append(&self, tenant: &str) -> Answer {
        let body = json!({"events": [{"type": "Opened", "payload": {}}]}).to_string();
        let post = self.client.post(format!("{}/v1/streams/Account/1/events", self.url));
        let post = post.header("x-tenant", tenant).header("content-type", "application/json");
        ask(post.body(body)).await
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn each_request_is_answered_from_the_database_of_its_tenant() {
    let (api, _dead) = start().await;
    for _ in 0..2 {
        assert!(api.append("own").await.status.is_success());
    }
    assert!(api.append("shared").await.status.is_success());
    assert_eq!(rows(&api.own).await.0, 2);
    assert_eq!(rows(&api.control).await.0, 1);
    for (tenant, events) in [("own", 2), ("shared", 1)] {
        for path in ["/v1/streams/Account/1/events", "/v1/events"] {
            let page = ask(api.get(path, tenant)).await.is(200);
            assert_eq!(page.body["events"].as_array().unwrap().len(), events, "{tenant} {path}");
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn a_tenant_whose_database_can_not_be_used_is_told_so_and_no_other_one_notices() {
    let (api, dead) = start().await;
    for _ in 0..3 {
        let answer = api.append("dead").await.problem(503, "database-unavailable");
        assert!(answer.header("retry-after").is_some());
        assert!(!answer.body.to_string().contains(&dead.name), "{}", answer.body);
        assert!(api.append("own").await.status.is_success());
    }
    api.stop().await;
}
