//! What these tests stand on: a database to look into, hosts to start and end, and waiting for what
//! must come true.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventfabric::backoff::Backoff;
use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::plugin::{Limits, PluginConfig};
use eventfabric::runner::{
    AsyncConfig, CatchUpConfig, Deployed, Host, HostConfig, RunnerConfig, deploy,
};
use eventfabric::store::EventStore;
use eventfabric_tests::{TestDb, database, eventfabric_bin, target_dir, wasm};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What does not come true in this time is taken never to do so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A database with a superuser's eyes on it.
pub struct World {
    pub db: TestDb,
    pub eyes: PgPool,
}

impl World {
    pub async fn new() -> Self {
        Self::of(database().await)
    }

    /// The same with a database that is there already.
    pub fn of(db: TestDb) -> Self {
        let eyes = PgPoolOptions::new().max_connections(3).connect_lazy_with(db.superuser());
        Self { db, eyes }
    }

    /// The number that a query answers; -1 for NULL, or while its table is not there.
    pub async fn number(&self, sql: &str) -> i64 {
        let answer = sqlx::query_scalar::<_, Option<i64>>(AssertSqlSafe(sql.to_owned()));
        match answer.fetch_one(&self.eyes).await {
            Ok(number) => number.unwrap_or(-1),
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("42P01" | "3F000")) =>
            {
                -1
            }
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// The first column of a query, as text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&self.eyes).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn execute(&self, sql: &str) {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&self.eyes).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Waits until a query answers this number.
    pub async fn until_number(&self, sql: &str, wanted: i64) {
        let start = Instant::now();
        loop {
            let number = self.number(sql).await;
            if number == wanted {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "waited for {wanted}, got {number}: {sql}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A store without inline plugins.
    pub async fn store(&self) -> EventStore {
        EventStore::new(self.db.pool(4).await)
    }

    /// The error that stopped a projection.
    pub async fn stopped(&self, projection: &str) -> String {
        let state = format!(
            "SELECT last_error FROM eventfabric.projections
             WHERE projection_name = '{projection}' AND state = 'failed'"
        );
        until("the projection has stopped", async || !self.texts(&state).await.is_empty()).await;
        self.texts(&state).await.remove(0)
    }
}

/// The settings of most tests: little waiting, few attempts, compiled plugins kept between tests.
pub fn quick() -> HostConfig {
    let backoff = Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(100) };
    HostConfig {
        runner: RunnerConfig {
            poll: Duration::from_millis(100),
            catch_up: CatchUpConfig { max_attempts: 3, backoff, ..CatchUpConfig::default() },
            r#async: AsyncConfig { max_attempts: 3, backoff, ..AsyncConfig::default() },
            ..RunnerConfig::default()
        },
        limits: Limits { instances: 8, ..Limits::default() },
        cache_dir: Some(target_dir().join("it-cache/eventfabric")),
        ..HostConfig::default()
    }
}

/// The same, with what `do: config` means to the hostile guests.
pub fn doing(what: &str) -> HostConfig {
    let config: PluginConfig = Arc::new(BTreeMap::from([("do".to_owned(), what.to_owned())]));
    let plugins = ["hostile_async", "hostile_catchup", "hostile_inline"];
    let plugins = plugins.map(|name| (name.to_owned(), config.clone())).into();
    HostConfig { plugins, ..quick() }
}

/// A host in this process, without a folder of plugins.
pub struct Running {
    pub host: Arc<Host>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub async fn start(world: &World, config: HostConfig) -> Self {
        let host = Arc::new(Host::open(world.db.options(), config, None).await.unwrap());
        Self::run(host)
    }

    pub fn run(host: Arc<Host>) -> Self {
        let stop = CancellationToken::new();
        let (running, token) = (host.clone(), stop.clone());
        let task = tokio::spawn(async move { running.run(None, token).await });
        Self { host, stop, task }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Deploys a built component.
pub async fn deploy_guest(host: &Host, name: &str) -> Deployed {
    deploy_bytes(host, std::fs::read(wasm(name)).unwrap()).await
}

pub async fn deploy_bytes(host: &Host, bytes: Vec<u8>) -> Deployed {
    deploy(host.registry(), bytes.into(), "a test", 100).await.unwrap()
}

/// The same code as another version: a custom section at the end changes the hash.
pub fn other_version(name: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(wasm(name)).unwrap();
    bytes.extend([0, 6, 4, b't', b'e', b's', b't', 2]);
    bytes
}

/// A failure that a superuser can cure from outside: see [`cure`].
pub fn curable() -> Value {
    json!({"do": "query", "sql": "SELECT 1 / count(*) FROM seen WHERE position = -7"})
}

/// Makes [`curable`] events of a hostile guest work.
pub async fn cure(world: &World, guest: &str) {
    world.execute(&format!("INSERT INTO {guest}.seen VALUES (-7, 'cure')")).await;
}

/// Appends events of this type to one stream, in one transaction. Answers their positions.
pub async fn append(
    store: &EventStore,
    stream: StreamId,
    event_type: &str,
    payloads: &[Value],
) -> Vec<i64> {
    let events = payloads.iter().map(|payload| NewEvent::new(event_type, payload).unwrap());
    let appended = store.append(stream, ExpectedVersion::Any, events.collect()).await.unwrap();
    appended.events.iter().map(|event| event.position).collect()
}

/// Appends deeds for the hostile guests.
pub async fn deeds(store: &EventStore, payloads: &[Value]) -> Vec<i64> {
    append(store, StreamId::new("Deeds", "1"), "Deed", payloads).await
}

/// `n` good deeds.
pub fn good(n: usize) -> Vec<Value> {
    vec![json!({}); n]
}

/// The program in a process of its own, its log in a file.
pub struct Process {
    child: Child,
    dir: tempfile::TempDir,
}

impl Process {
    pub fn start(world: &World, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::on(&world.db.url(), args, env)
    }

    /// The same on any database.
    pub fn on(url: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let out = std::fs::File::create(dir.path().join("out")).unwrap();
        let child = Command::new(eventfabric_bin())
            .args(args)
            .current_dir(dir.path())
            .env("EVENTFABRIC_DATABASE_URL", url)
            .env("XDG_CACHE_HOME", target_dir().join("it-cache"))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    /// A host, with a folder of plugins or without.
    pub fn host(world: &World, plugins: Option<&Path>, env: &[(&str, &str)]) -> Self {
        match plugins {
            Some(dir) => Self::start(world, &["run", "--plugins", dir.to_str().unwrap()], env),
            None => Self::start(world, &["run"], env),
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub fn output(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("out")).unwrap()
    }

    pub async fn until_log(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            let log = self.log();
            assert!(start.elapsed() < PATIENCE, "waited in vain for {text:?} in the log:\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        until("the process has ended", async || !self.is_running()).await;
        self.child.wait().unwrap()
    }

    /// Waits for its end, which must be a good one.
    pub async fn succeeded(mut self) {
        let status = self.ended().await;
        assert!(status.success(), "{status}:\n{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of process {}\n{}", self.child.id(), self.log());
        }
    }
}

/// A folder with these components in it.
pub fn folder(guests: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for guest in guests {
        std::fs::copy(wasm(guest), dir.path().join(format!("{guest}.wasm"))).unwrap();
    }
    dir
}

/// Writes a file beside its place and moves it there.
pub fn put(path: &Path, bytes: &[u8]) {
    let beside = PathBuf::from(format!("{}.part", path.display()));
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(beside, path).unwrap();
}
