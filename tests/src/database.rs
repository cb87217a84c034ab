use std::time::Duration;

use eventfabric::store::migrate::{MIGRATIONS, migrate};
use eventfabric_testdb::{OWNER, SERVER, server};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

/// The advisory lock under which a template is made: "ef-templ" in ASCII.
const TEMPLATE_LOCK: i64 = 0x6566_2d74_656d_706c;

/// A database of one test, dropped with it.
///
/// The host's own connections are no superuser's: [`TestDb::options`] is the role `eventfabric`,
/// which owns the database and may create roles.
pub struct TestDb {
    /// The database's name, different at every run.
    pub name: String,
    server: Server,
}

#[derive(Clone)]
struct Server {
    administrator: PgConnectOptions,
    url: String,
}

/// A fresh database with the schema `eventfabric`.
///
/// # Panics
/// When there is no server, or it refuses.
pub async fn database() -> TestDb {
    let server = Server::find().await;
    let template = template(&server).await;
    create(server, &format!("TEMPLATE {template}")).await
}

/// A fresh database with nothing in it.
///
/// # Panics
/// When there is no server, or it refuses.
pub async fn bare_database() -> TestDb {
    create(Server::find().await, "TEMPLATE template0").await
}

impl TestDb {
    /// How to connect as the role `eventfabric`, the database's owner.
    pub fn options(&self) -> PgConnectOptions {
        self.server.owner().database(&self.name)
    }

    /// How to connect as the superuser.
    pub fn superuser(&self) -> PgConnectOptions {
        self.server.administrator.clone().database(&self.name)
    }

    /// [`TestDb::options`] as a URL, password included, for programs that a test starts.
    pub fn url(&self) -> String {
        self.url_of(self.options().get_username())
    }

    /// [`TestDb::superuser`] as a URL.
    pub fn superuser_url(&self) -> String {
        self.url_of(self.superuser().get_username())
    }

    fn url_of(&self, name: &str) -> String {
        let (_, rest) = self.server.url.split_once("://").expect("a URL");
        let (user, place) = rest.rsplit_once('@').expect("a URL with a user");
        let password = user.split_once(':').map(|(_, password)| format!(":{password}"));
        let (host, rest) = place.split_once('/').unwrap_or((place, ""));
        let query = rest.split_once('?').map(|(_, query)| format!("?{query}"));
        format!(
            "postgres://{}{}@{host}/{}{}",
            name,
            password.unwrap_or_default(),
            self.name,
            query.unwrap_or_default()
        )
    }

    /// A pool of at most `n` connections of the role `eventfabric`, with the host's own settings.
    pub async fn pool(&self, n: u32) -> PgPool {
        eventfabric::db::pool(self.options(), n)
    }

    /// One plain connection of the role `eventfabric`.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.options()).await.expect("the test database answers")
    }
}

impl std::fmt::Debug for TestDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestDb").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for TestDb {
    /// Drops the database, open connections or not. (On a thread and a runtime of its own: the
    /// test's runtime is busy with this very call.)
    ///
    /// That runtime may have left a connection in the middle of its login. Until it is closed or
    /// times out after a minute, the server holds back every DROP and CREATE DATABASE; and it is
    /// closed only after this call. So this waits until the server has the statement, and a moment
    /// longer: the server carries it out, with or without us.
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let (options, name) = (self.server.administrator.clone(), self.name.clone());
        let (connected, is_connected) = std::sync::mpsc::channel();
        let (dropped, is_dropped) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let dropping = async {
                let mut conn = PgConnection::connect_with(&options).await?;
                let _ = connected.send(());
                conn.execute(AssertSqlSafe(sql)).await?;
                conn.close().await
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Err(error) = runtime.map_err(Into::into).and_then(|it| it.block_on(dropping)) {
                eprintln!("the database {name} was not dropped: {error}");
            }
            drop(dropped);
        });
        // Either ends with the thread, too.
        let _ = is_connected.recv();
        let _ = is_dropped.recv_timeout(Duration::from_millis(300));
    }
}

impl Server {
    async fn find() -> Self {
        let url = match std::env::var(SERVER) {
            Ok(url) => url,
            Err(_) => server().await.unwrap_or_else(|e| panic!("{e:#}")).administrator_url(),
        };
        let administrator = url.parse().unwrap_or_else(|e| panic!("{SERVER}: {e}"));
        Self { administrator, url }
    }

    fn owner(&self) -> PgConnectOptions {
        self.administrator.clone().username(OWNER)
    }
}

async fn create(server: Server, how: &str) -> TestDb {
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let mut conn = administrator(&server).await;
    // (Copies the template's files: quicker than by way of the WAL, and no checkpoint costs much
    // on a server that does not sync.)
    let strategy = if version(&mut conn).await >= 150_000 { " STRATEGY file_copy" } else { "" };
    run(&mut conn, format!("CREATE DATABASE {name} OWNER {OWNER} {how}{strategy}")).await;
    TestDb { name, server }
}

/// Finds or makes the database that the others are copies of. Its name has a hash of the
/// migrations, so that one of other migrations is not taken for it.
async fn template(server: &Server) -> String {
    let mut hash = Sha256::new();
    for migration in MIGRATIONS {
        hash.update(migration.name);
        hash.update([0]);
        hash.update(migration.sql);
        hash.update([0]);
    }
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("template_{hash}");

    let mut conn = administrator(server).await;
    if exists(&mut conn, &name).await {
        return name;
    }
    // Each test is a process of its own; one of them makes the template, and the others wait.
    run(&mut conn, format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})")).await;
    if !exists(&mut conn, &name).await {
        let unfinished = format!("unfinished_{hash}");
        run(&mut conn, format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
        run(&mut conn, format!("CREATE DATABASE {unfinished} OWNER {OWNER} TEMPLATE template0"))
            .await;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(30))
            .connect_lazy_with(server.owner().database(&unfinished));
        migrate(&pool).await.unwrap_or_else(|e| panic!("{e}"));
        pool.close().await;
        run(&mut conn, format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
    }
    // Ends the lock, too.
    conn.close().await.expect("the server says goodbye");
    name
}

async fn administrator(server: &Server) -> PgConnection {
    PgConnection::connect_with(&server.administrator)
        .await
        .unwrap_or_else(|e| panic!("the tests' PostgreSQL server does not answer: {e}"))
}

async fn version(conn: &mut PgConnection) -> i32 {
    sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(conn)
        .await
        .expect("the server knows its version")
}

async fn exists(conn: &mut PgConnection, name: &str) -> bool {
    sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(name)
        .fetch_optional(conn)
        .await
        .expect("the server lists its databases")
        .is_some()
}

async fn run(conn: &mut PgConnection, sql: String) {
    conn.execute(AssertSqlSafe(sql.as_str())).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}
