//! The server, and ways to it that do not pass by the nemesis' proxies.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use eventfabric_embedded::{Embedded, start, stop};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Mutex;

/// A PostgreSQL of its own, durable as it is by default.
pub struct World {
    dir: PathBuf,
    server: Mutex<Option<Embedded>>,
    url: String,
    owner: PgConnectOptions,
    /// A superuser's connections to the database of the hosts.
    pub eyes: PgPool,
}

impl World {
    /// Starts the server of this run in an empty directory.
    pub async fn new(seed: u64) -> anyhow::Result<Self> {
        let dir = eventfabric_testdb::target_dir().join("torture").join(seed.to_string());
        let dir = eventfabric_embedded::reachable(&dir)?;
        stop(&dir.join("postgres")).await?;
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
        }
        std::fs::create_dir_all(dir.join("plugins"))?;
        let server = start(&dir.join("postgres")).await?;
        let (owner, url) = (server.options(), server.url());
        let eyes = server.administrator().database(owner.get_database().unwrap_or("eventfabric"));
        let eyes = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(120))
            .connect_lazy_with(eyes);
        Ok(Self { dir, server: Mutex::new(Some(server)), url, owner, eyes })
    }

    /// Where everything of this run lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder that the hosts watch.
    pub fn plugins(&self) -> PathBuf {
        self.dir.join("plugins")
    }

    /// How the hosts' role connects, without a proxy.
    pub fn owner(&self) -> PgConnectOptions {
        self.owner.clone()
    }

    /// The URL of the hosts, by way of another port.
    pub fn url_by(&self, port: u16) -> String {
        self.url.replace(&format!(":{}/", self.port()), &format!(":{port}/"))
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.owner.get_port()
    }

    /// Kills the server as a power cut would, and starts it again on the same port.
    pub async fn crash(&self) -> anyhow::Result<()> {
        let mut server = self.server.lock().await;
        let pid = std::fs::read_to_string(self.dir.join("postgres/data/postmaster.pid"))?;
        let pid = pid.lines().next().context("postmaster.pid is empty")?.to_owned();
        signal(&pid, "KILL")?;
        drop(server.take());
        let started = start(&self.dir.join("postgres")).await?;
        anyhow::ensure!(started.port == self.port(), "the server came back on another port");
        *server = Some(started);
        Ok(())
    }

    /// The number that a query answers; 0 for none. Tries again while the server is away.
    pub async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        let mut tries = 0;
        loop {
            let answer = sqlx::query_scalar::<_, Option<i64>>(AssertSqlSafe(sql.to_owned()));
            match answer.fetch_one(&self.eyes).await {
                Ok(number) => return Ok(number.unwrap_or_default()),
                Err(error) if tries < 50 && !is_wrong(&error) => tries += 1,
                Err(error) => return Err(error).context(sql.to_owned()),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The first column of a query, as text.
    pub async fn texts(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let rows = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        rows.fetch_all(&self.eyes).await.with_context(|| sql.to_owned())
    }

    /// Stops the server and takes away what it leaves.
    pub async fn remove(&self) -> anyhow::Result<()> {
        self.eyes.close().await;
        if let Some(server) = self.server.lock().await.take() {
            server.stop().await?;
        }
        std::fs::remove_dir_all(&self.dir).with_context(|| self.dir.display().to_string())
    }
}

/// Sends a signal to a process.
pub fn signal(pid: &str, name: &str) -> anyhow::Result<()> {
    let sent = std::process::Command::new("kill").args(["-s", name, pid]).status()?;
    anyhow::ensure!(sent.success(), "cannot send {name} to {pid}");
    Ok(())
}

/// Whether a statement itself is at fault: it will never work.
fn is_wrong(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("42"))
}
