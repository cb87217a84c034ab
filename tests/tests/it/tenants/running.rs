//! The projections of all tenants: each on its own database, supervised by itself.

use std::sync::Arc;
use std::time::Duration;

use eventfabric::runner::{Fleet, TenantState};
use eventfabric::store::EventStore;
use eventfabric::tenancy::{Directory, TenancyConfig, Tenants};
use eventfabric_tests::TestDb;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::databases::{drop_database, eyes, url};
use super::tenant;
use crate::runners::rig::{self, Process, World, deeds, folder, good, until};

const SEEN: &str = "SELECT count(*) FROM hostile_catchup.seen";

/// A fleet in this process, over a directory that is a table.
struct Running {
    fleet: Arc<Fleet>,
    directory: Directory,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _plugins: tempfile::TempDir,
}

impl Running {
    async fn start(control: &TestDb, tenants: &[(&str, &World)]) -> Self {
        let directory = Directory::default().with_table(control.pool(2).await);
        for (name, world) in tenants {
            directory.add(&tenant(name), &url(&world.db)).await.unwrap();
        }
        let config = TenancyConfig {
            follow: Duration::from_millis(100),
            patience: Duration::from_secs(2),
            ..TenancyConfig::default()
        };
        let hosts = Tenants::hosts(directory.clone(), config, rig::quick(), true).unwrap();
        let plugins = folder(&["hostile_catchup"]);
        let fleet = Arc::new(Fleet::new(hosts, Some(plugins.path().to_owned())));
        let stop = CancellationToken::new();
        let (running, token) = (fleet.clone(), stop.clone());
        let task = tokio::spawn(async move { running.run(token).await });
        Self { fleet, directory, stop, task, _plugins: plugins }
    }

    fn state(&self, name: &str) -> Option<TenantState> {
        self.fleet.states().borrow().get(&tenant(name)).cloned()
    }

    async fn until_waiting(&self, name: &str) -> String {
        let waiting = async || matches!(self.state(name), Some(TenantState::Waiting { .. }));
        until("the tenant waits", waiting).await;
        match self.state(name) {
            Some(TenantState::Waiting { reason, .. }) => reason,
            // On its way to the next attempt.
            other => format!("{other:?}"),
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn append(world: &World, n: usize) {
    deeds(&EventStore::new(world.db.pool(2).await), &good(n)).await;
}

/// Lets nobody connect to a database any more, or everybody again.
async fn allow(db: &TestDb, connections: bool) {
    let sql = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {connections}", db.name);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut eyes(db).await).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_dropped_stops_its_own_tenant_alone() {
    let (control, dead, live) = (World::new().await, World::new().await, World::new().await);
    let running = Running::start(&control.db, &[("dead", &dead), ("live", &live)]).await;
    for world in [&dead, &live] {
        append(world, 2).await;
        world.until_number(SEEN, 2).await;
    }
    dead.eyes.close().await;
    drop_database(&dead.db).await;
    let reason = running.until_waiting("dead").await;
    assert!(!reason.is_empty());
    append(&live, 5).await;
    live.until_number(SEEN, 7).await;
    assert_eq!(running.state("live"), Some(TenantState::Running));
    running.stop().await;
}

#[tokio::test]
async fn a_database_that_is_away_at_first_is_run_when_it_comes() {
    let (control, late, live) = (World::new().await, World::new().await, World::new().await);
    append(&late, 3).await;
    allow(&late.db, false).await;
    let running = Running::start(&control.db, &[("late", &late), ("live", &live)]).await;
    running.until_waiting("late").await;
    append(&live, 1).await;
    live.until_number(SEEN, 1).await;
    allow(&late.db, true).await;
    late.until_number(SEEN, 3).await;
    running.stop().await;
}

#[tokio::test]
async fn tenants_that_are_added_and_removed_meanwhile_are_started_and_stopped() {
    let (control, one, two) = (World::new().await, World::new().await, World::new().await);
    let running = Running::start(&control.db, &[]).await;
    append(&one, 1).await;
    running.directory.add(&tenant("one"), &url(&one.db)).await.unwrap();
    one.until_number(SEEN, 1).await;
    running.directory.add(&tenant("two"), &url(&two.db)).await.unwrap();
    running.directory.remove(&tenant("one")).await.unwrap();
    until("the first one is stopped", async || {
        let names: Vec<_> = running.fleet.states().borrow().keys().cloned().collect();
        names == [tenant("two")] && connections(&one.db).await == 0
    })
    .await;
    append(&one, 1).await;
    append(&two, 2).await;
    two.until_number(SEEN, 2).await;
    assert_eq!(one.number(SEEN).await, 1, "nobody runs it");
    running.directory.add(&tenant("one"), &url(&one.db)).await.unwrap();
    one.until_number(SEEN, 2).await;
    running.stop().await;
}

/// Connections of hosts to a database.
async fn connections(db: &TestDb) -> i64 {
    let mut eyes: PgConnection = eyes(db).await;
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = $1 AND application_name = 'eventfabric'";
    let n = sqlx::query_scalar(sql).bind(&db.name).fetch_one(&mut eyes).await.unwrap();
    eyes.close().await.unwrap();
    n
}

#[tokio::test]
async fn the_program_runs_all_tenants_of_the_table_and_of_the_settings() {
    let (control, one, two) = (World::new().await, World::new().await, World::new().await);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    let settings = |more: &str| format!("[tenancy]\nfollow = \"100ms\"\n[tenants]\n{more}");
    std::fs::write(&file, settings("")).unwrap();
    let plugins = folder(&["hostile_catchup"]);
    Directory::default()
        .with_table(control.db.pool(2).await)
        .add(&tenant("one"), &url(&one.db))
        .await
        .unwrap();
    let args = ["--config", file.to_str().unwrap(), "run", "--all-tenants", "--plugins"];
    let args = [&args[..], &[plugins.path().to_str().unwrap()]].concat();
    let mut host = Process::start(&control, &args, &[]);
    append(&one, 2).await;
    append(&two, 3).await;
    one.until_number(SEEN, 2).await;
    rig::put(&file, settings(&format!("two = \"{}\"", two.db.url())).as_bytes());
    two.until_number(SEEN, 3).await;
    assert!(host.is_running());
    host.signal("TERM");
    let url = two.db.url();
    let secret = url.split(':').nth(2).unwrap().split('@').next().unwrap();
    let log = host.log();
    assert!(!log.contains(secret), "{log}");
    host.succeeded().await;
}
