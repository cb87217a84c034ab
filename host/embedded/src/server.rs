use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::EmbeddedError;
use crate::account::Account;
use crate::binaries;
use crate::cluster::Cluster;

/// The superuser.
pub const ADMINISTRATOR: &str = "postgres";

/// The role that owns [`DATABASE`]: may create roles and databases, and is no superuser.
pub const OWNER: &str = "eventfabric";

/// The database that [`Embedded::options`] names.
pub const DATABASE: &str = "eventfabric";

/// The lock file of those who use the server.
const USERS: &str = "users.lock";

/// How long the remains of a server that was killed may stand in the way of the next one.
const DYING: Duration = Duration::from_secs(15);

/// What PostgreSQL says when they do: its first process, or one that it left behind, is not gone yet.
const STILL_DYING: [&str; 2] =
    ["lock file \"postmaster.pid\" already exists", "shared memory block"];

/// How long a server that is starting or recovering is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// What becomes of the data of a server that is stopped.
#[derive(Clone, Copy)]
enum Data {
    Keep,
    Discard,
}

/// A running private server.
///
/// Whoever has one calls [`Embedded::stop`] at the end: the last one out stops the server. Dropping
/// it leaves the server running, for other programs to find.
pub struct Embedded {
    /// Its directory.
    pub dir: PathBuf,
    /// The TCP port on 127.0.0.1.
    pub port: u16,
    /// The server's version, as `15.18`.
    pub version: String,
    /// Whether this program started it, and did not find it running.
    pub started: bool,
    password: String,
    /// What it was started with, beside its own.
    settings: Vec<(String, String)>,
    cluster: Cluster,
    /// Shared by all who use the server; the kernel lets go of it for a program that is killed.
    users: File,
}

/// Finds or starts the server of this directory.
///
/// # Errors
/// See [`EmbeddedError`]; each says what to do.
pub async fn start(dir: &Path) -> Result<Embedded, EmbeddedError> {
    start_with(dir, &[]).await
}

/// [`start`], with server settings that hold when the server is not running yet.
///
/// # Errors
/// As [`start`].
pub async fn start_with(dir: &Path, settings: &[(&str, &str)]) -> Result<Embedded, EmbeddedError> {
    let cluster = Cluster::open(dir)?;
    let _start = lock(&cluster).await?;
    let password = cluster.password()?;

    let (port, version, started) = match running(&cluster, &password).await? {
        Some((port, version)) => (port, version, false),
        None => {
            let (port, version) = launch(&cluster, &password, settings, None).await?;
            (port, version, true)
        }
    };
    let users = cluster.lock_file(USERS)?;
    users.lock_shared().map_err(EmbeddedError::file("cannot lock", &cluster.dir.join(USERS)))?;
    let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let dir = cluster.dir.clone();
    Ok(Embedded { dir, port, version, started, password, settings, cluster, users })
}

/// Stops the server of this directory, whoever uses it. Returns whether it was running.
///
/// # Errors
/// When the server can't be stopped.
pub async fn stop(dir: &Path) -> Result<bool, EmbeddedError> {
    end(dir, Data::Keep).await
}

/// [`stop`], and removes the data: for those that nobody wants to see again.
///
/// # Errors
/// When the server can't be stopped, or the data can't be removed.
pub async fn discard(dir: &Path) -> Result<bool, EmbeddedError> {
    end(dir, Data::Discard).await
}

async fn end(dir: &Path, data: Data) -> Result<bool, EmbeddedError> {
    if !dir.join("data/postmaster.pid").exists() {
        return Ok(false);
    }
    let cluster = Cluster::open(dir)?;
    let _start = lock(&cluster).await?;
    if running(&cluster, &cluster.password()?).await?.is_none() {
        return Ok(false);
    }
    halt(&cluster, data).await?;
    Ok(true)
}

/// `wanted`, or a directory below `/var/tmp` that stands for it where the server's user can't get
/// to `wanted`: a checkout in root's home, for example.
///
/// # Errors
/// When there is no user to run the server as.
pub fn reachable(wanted: &Path) -> Result<PathBuf, EmbeddedError> {
    let wanted = std::path::absolute(wanted).map_err(EmbeddedError::file("cannot name", wanted))?;
    let mut existing = wanted.as_path();
    while !existing.exists() {
        existing = existing.parent().unwrap_or(Path::new("/"));
    }
    match Account::choose()?.can_reach(&existing.join("below")) {
        Err(EmbeddedError::NotTraversable { .. }) => {
            let name = wanted.to_string_lossy().replace('/', "-");
            Ok(Path::new("/var/tmp").join(format!("eventfabric{name}")))
        }
        checked => checked.map(|()| wanted),
    }
}

impl Embedded {
    /// How to connect as the owner of the database [`DATABASE`].
    pub fn options(&self) -> PgConnectOptions {
        options(self.port, &self.password, OWNER, DATABASE)
    }

    /// How to connect as the superuser, to the database `postgres`.
    pub fn administrator(&self) -> PgConnectOptions {
        options(self.port, &self.password, ADMINISTRATOR, "postgres")
    }

    /// [`Embedded::options`] as a URL, password included.
    pub fn url(&self) -> String {
        format!("postgres://{OWNER}:{}@{}", self.password, self.place(DATABASE))
    }

    /// [`Embedded::url`] for eyes other than the user's: without the password.
    pub fn url_without_password(&self) -> String {
        format!("postgres://{OWNER}@{}", self.place(DATABASE))
    }

    /// [`Embedded::administrator`] as a URL, password included.
    pub fn administrator_url(&self) -> String {
        format!("postgres://{ADMINISTRATOR}:{}@{}", self.password, self.place("postgres"))
    }

    fn place(&self, database: &str) -> String {
        format!("127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Starts the server again, on its port, where it has died: it does not come back by itself.
    /// Returns whether it had to. Costs next to nothing while the server is there.
    ///
    /// # Errors
    /// When it does not start; it can be tried again.
    pub async fn revive(&self) -> Result<bool, EmbeddedError> {
        // A port that somebody listens on can't be taken.
        if std::net::TcpListener::bind(("127.0.0.1", self.port)).is_err() {
            return Ok(false);
        }
        let _start = lock(&self.cluster).await?;
        // Another program that uses it may have been faster.
        if running(&self.cluster, &self.password).await?.is_some_and(|(port, _)| port == self.port)
        {
            return Ok(false);
        }
        let settings: Vec<_> =
            self.settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        launch(&self.cluster, &self.password, &settings, Some(self.port)).await?;
        Ok(true)
    }

    /// Stops the server when no other program uses it any more: the last one out stops it. Returns
    /// whether it was stopped.
    ///
    /// # Errors
    /// When the server does not stop within two minutes.
    pub async fn stop(self) -> Result<bool, EmbeddedError> {
        self.leave(Data::Keep).await
    }

    /// [`Embedded::stop`]; and the one that stops the server removes the data, too: for those that
    /// nobody wants to see again.
    ///
    /// # Errors
    /// As [`Embedded::stop`], and when the data can't be removed.
    pub async fn discard(self) -> Result<bool, EmbeddedError> {
        self.leave(Data::Discard).await
    }

    async fn leave(self, data: Data) -> Result<bool, EmbeddedError> {
        // While this is held, nobody else comes or goes.
        let _start = lock(&self.cluster).await?;
        let failed = EmbeddedError::file("cannot lock", &self.cluster.dir.join(USERS));
        match self.users.unlock().map_err(TryLockError::Error).and_then(|()| self.users.try_lock())
        {
            Ok(()) => halt(&self.cluster, data).await.map(|()| true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

impl std::fmt::Debug for Embedded {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("dir", &self.dir)
            .field("port", &self.port)
            .field("version", &self.version)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

fn options(port: u16, password: &str, user: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(user)
        .password(password)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

/// Waits until no other program starts or stops this server.
async fn lock(cluster: &Cluster) -> Result<File, EmbeddedError> {
    let file = cluster.lock_file("start.lock")?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    let locked = locked.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    locked.map_err(EmbeddedError::file("cannot lock", &cluster.dir.join("start.lock")))
}

/// The port and version of the server, when it runs. One that is still starting is waited for.
async fn running(
    cluster: &Cluster,
    password: &str,
) -> Result<Option<(u16, String)>, EmbeddedError> {
    let Some(port) = cluster.running_port() else { return Ok(None) };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connect(port, password).await {
            Ok((_, version)) => return Ok(Some((port, version))),
            // It starts up, shuts down or recovers: it will say so on every attempt until it is done.
            Err(source) if is_starting(&source) => {
                if Instant::now() > deadline {
                    let (dir, log) = (cluster.dir.clone(), cluster.log_tail());
                    return Err(EmbeddedError::Connect { dir, source, log });
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // The file of a server that was killed; the next one recovers and replaces it.
            Err(error) => {
                tracing::debug!(%error, port, "no server where postmaster.pid says");
                return Ok(None);
            }
        }
    }
}

async fn connect(port: u16, password: &str) -> sqlx::Result<(PgConnection, String)> {
    let options = options(port, password, ADMINISTRATOR, "postgres");
    let mut conn = PgConnection::connect_with(&options).await?;
    let version: String = sqlx::query_scalar("SELECT pg_catalog.current_setting('server_version')")
        .fetch_one(&mut conn)
        .await?;
    let version = version.split_whitespace().next().unwrap_or_default().to_owned();
    Ok((conn, version))
}

fn is_starting(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "57P03")
}

async fn launch(
    cluster: &Cluster,
    password: &str,
    settings: &[(&str, &str)],
    fixed: Option<u16>,
) -> Result<(u16, String), EmbeddedError> {
    let data = cluster.data_version();
    let binaries = binaries::find(&cluster.dir, data, &cluster.cache()).await?;
    if data.is_none() {
        tracing::info!(dir = %cluster.dir.display(), version = binaries.version, "making a database cluster");
        cluster.init(&binaries, ADMINISTRATOR).await?;
    }
    let mut port = fixed.map_or_else(|| cluster.free_port(None), Ok)?;
    let deadline = Instant::now() + DYING;
    loop {
        match cluster.start(&binaries, port, settings).await {
            Ok(()) => break,
            Err(EmbeddedError::Program { output, .. })
                if fixed.is_none()
                    && Instant::now() < deadline
                    && output.contains("Address already in use") =>
            {
                // Somebody took it since we looked.
                port = cluster.free_port(Some(port))?;
            }
            Err(EmbeddedError::Program { output, .. })
                if Instant::now() < deadline && STILL_DYING.iter().any(|t| output.contains(t)) =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error),
        }
    }
    prepare(port, password).await.map_err(|source| EmbeddedError::Connect {
        dir: cluster.dir.clone(),
        source,
        log: cluster.log_tail(),
    })
}

/// Makes the owner and its database where they are missing.
async fn prepare(port: u16, password: &str) -> sqlx::Result<(u16, String)> {
    let (mut conn, version) = connect(port, password).await?;
    let mut missing = Vec::new();
    if !exists(&mut conn, "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1", OWNER).await? {
        // The password is made of hexadecimal digits.
        missing
            .push(format!("CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'"));
        // To see and to cancel what its plugins' roles do.
        missing.push(format!("GRANT pg_monitor, pg_signal_backend TO {OWNER}"));
    }
    let found = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1";
    if !exists(&mut conn, found, DATABASE).await? {
        missing.push(format!("CREATE DATABASE {DATABASE} OWNER {OWNER}"));
    }
    for statement in missing {
        conn.execute(AssertSqlSafe(statement)).await?;
    }
    conn.close().await?;
    Ok((port, version))
}

async fn exists(conn: &mut PgConnection, sql: &'static str, name: &str) -> sqlx::Result<bool> {
    Ok(sqlx::query(sql).bind(name).fetch_optional(conn).await?.is_some())
}

/// Only for who holds `start.lock`: whoever waits for it finds the data, or none.
async fn halt(cluster: &Cluster, data: Data) -> Result<(), EmbeddedError> {
    let version = cluster.data_version();
    let binaries = binaries::find(&cluster.dir, version, &cluster.cache()).await?;
    cluster.stop(&binaries).await?;
    match data {
        Data::Keep => Ok(()),
        Data::Discard => cluster.remove_data(),
    }
}
