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

use super::{Answer, ask, events, open, quick};
use crate::runners::rig::until;
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
    let fleet = Arc::new(Fleet::new(hosts, None));
    let server = server.with_fleet(&fleet);
    let url = format!("http://{}", server.local_addr().unwrap());
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

#[tokio::test]
async fn a_dead_tenant_is_seen_and_does_not_make_the_host_unready() {
    let (api, dead) = start().await;
    let get = async |path: &str| ask(api.get(path, "default")).await;
    until("both are tried", async || {
        let states = get("/v1/tenants").await.is(200).body["tenants"].clone();
        states[0]["state"] == "waiting" && states[1]["state"] == "running"
    })
    .await;
    let tenants = get("/v1/tenants").await.is(200).body;
    assert_eq!(
        (&tenants["tenants"][0]["tenant"], &tenants["next"]),
        (&json!("dead"), &json!(null))
    );
    assert!(tenants["tenants"][0]["reason"].as_str().unwrap().contains("migrat"), "{tenants}");
    assert_eq!(tenants["tenants"][1], json!({"tenant": "own", "state": "running"}));
    let page = get("/v1/tenants?limit=1").await.is(200).body;
    let rest = get(page["next"].as_str().unwrap()).await.is(200).body;
    assert_eq!((&rest["tenants"][0]["tenant"], &rest["next"]), (&json!("own"), &json!(null)));
    until("it is ready", async || get("/readyz").await.status == 200).await;
    let ready = get("/readyz").await.is(200).body;
    // Anybody may ask this: how many, and not who and why.
    let reason = "1 of 2 tenants with a database of their own do not run: /v1/tenants";
    assert_eq!(ready, json!({"ready": true, "reasons": [reason]}));
    let metrics = async || get("/metrics").await.is(200).body.as_str().unwrap().to_owned();
    // It waits again soon, where it is just being tried.
    until("both are counted", async || {
        let metrics = metrics().await;
        ["running", "waiting"]
            .iter()
            .all(|state| metrics.contains(&format!("eventfabric_tenants{{state=\"{state}\"}} 1")))
    })
    .await;
    assert!(!metrics().await.contains(&dead.name));
    api.stop().await;
}

#[tokio::test]
async fn a_host_that_does_not_serve_a_tenants_database_says_so_and_appends_nowhere() {
    let (control, own) = (database().await, database().await);
    let add = "INSERT INTO eventfabric.tenants (tenant_id, database_url) VALUES ('listed', $1)";
    sqlx::query(add).bind(own.url()).execute(&mut control.connect().await).await.unwrap();
    let config = HttpConfig { new_tenants: true, ..open() };
    let api = super::Api::on(control, config).await;
    let of = |tenant: &str| format!("/v1/tenants/{tenant}/streams/Account/1/events");
    for _ in 0..2 {
        let refused =
            ask(api.post(&of("listed"), &events(1))).await.problem(503, "tenant-not-served");
        assert!(refused.header("retry-after").is_some());
        for path in ["/v1/events", "/v1/streams/Account/1/events", "/v1/dead-letters"] {
            let asked = ask(api.get(path).header("x-tenant", "listed")).await;
            asked.problem(503, "tenant-not-served");
        }
        ask(api.post(&of("shared"), &events(1))).await.is(201);
    }
    assert_eq!((api.rows().await.0, rows(&own).await.0), (2, 0));
    let tenants = ask(api.get("/v1/tenants")).await.is(200).body["tenants"].clone();
    assert_eq!(tenants, json!([{"tenant": "listed", "state": "not-served"}]));
    api.stop().await;
}
