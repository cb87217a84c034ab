//! The server, and ways to it that do not pass by the nemesis' proxies.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use eventfabric::plugin::SettingsError;
use eventfabric_embedded::{Embedded, start, stop};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, FromRow, PgPool};
use tokio::sync::Mutex;

/// A server that is away for so long does not come back.
pub const PATIENCE: Duration = Duration::from_secs(120);

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
            .acquire_timeout(PATIENCE)
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

    /// Ends the server and starts it again on the same port. By SIGKILL it ends as in a power cut,
    /// by SIGQUIT at once (`immediate`), by SIGINT with its transactions rolled back (`fast`).
    pub async fn restart(&self, name: &str) -> anyhow::Result<()> {
        let mut server = self.server.lock().await;
        let file = self.dir.join("postgres/data/postmaster.pid");
        let pid = std::fs::read_to_string(&file)?;
        let pid = pid.lines().next().context("postmaster.pid is empty")?.to_owned();
        signal(&pid, name)?;
        drop(server.take());
        // Its own process is the last to go. (SIGKILL takes effect before the next signal arrives.)
        while name != "KILL" && file.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let started = start(&self.dir.join("postgres")).await?;
        anyhow::ensure!(started.port == self.port(), "the server came back on another port");
        *server = Some(started);
        Ok(())
    }

    /// Has those go on that a bad mood has stopped. What else has stopped one is a finding.
    pub async fn resume(&self) -> anyhow::Result<()> {
        let stopped = "SELECT projection_name FROM eventfabric.projections
                       WHERE state = 'failed' AND last_error ~ 'mood|division by zero'";
        for name in self.texts(stopped).await? {
            match eventfabric::plugin::resume(&self.eyes, &name).await {
                Ok(()) | Err(SettingsError::Runs(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The number that a query answers; 0 for none.
    pub async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        let rows = self.rows::<(Option<i64>,)>(sql).await?;
        Ok(rows.first().and_then(|(number,)| *number).unwrap_or_default())
    }

    /// The first column of a query, as text.
    pub async fn texts(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.rows::<(String,)>(sql).await?;
        Ok(rows.into_iter().map(|(text,)| text).collect())
    }

    /// The rows of a query. Tries again while the server is away.
    pub async fn rows<R>(&self, sql: &str) -> anyhow::Result<Vec<R>>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let start = Instant::now();
        loop {
            let rows = sqlx::query_as(AssertSqlSafe(sql.to_owned()));
            match rows.fetch_all(&self.eyes).await {
                Ok(rows) => return Ok(rows),
                Err(error) if start.elapsed() < PATIENCE && !is_wrong(&error) => {}
                Err(error) => return Err(error).context(sql.to_owned()),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
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
