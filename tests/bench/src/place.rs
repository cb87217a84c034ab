//! The server, and databases on it.

use std::time::Duration;

use anyhow::Context as _;
use eventfabric::store::migrate::migrate;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

/// The role of the hosts. The server that `testdb durable` starts has it, with the administrator's
/// password.
const OWNER: &str = "eventfabric";

/// A durable server, with its default settings.
pub struct Place {
    administrator: PgConnectOptions,
    url: String,
    /// Its name and number.
    pub version: String,
}

/// A database with the schema of the store.
pub struct Database {
    name: String,
    administrator: PgConnectOptions,
    url: String,
    /// How a host connects: as the owner, who is no superuser.
    pub owner: PgConnectOptions,
    /// A superuser's connections, for what is done between the measurements.
    pub eyes: PgPool,
}

impl Place {
    /// The server of `DATABASE_URL`.
    pub async fn find() -> anyhow::Result<Self> {
        let url = std::env::var("DATABASE_URL")
            .context("DATABASE_URL is not set: start this by `cargo xtask bench`")?;
        let administrator: PgConnectOptions = url.parse()?;
        let mut conn = PgConnection::connect_with(&administrator).await?;
        let version: String =
            sqlx::query_scalar("SHOW server_version").fetch_one(&mut conn).await?;
        conn.close().await?;
        Ok(Self { administrator, url, version: format!("PostgreSQL {version}") })
    }

    /// A new database.
    pub async fn database(&self, name: &str) -> anyhow::Result<Database> {
        let name = format!("bench_{name}");
        let mut conn = PgConnection::connect_with(&self.administrator).await?;
        // One that an interrupted run has left.
        conn.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await?;
        conn.execute(AssertSqlSafe(format!("CREATE DATABASE {name} OWNER {OWNER}"))).await?;
        conn.close().await?;
        let owner = self.administrator.clone().username(OWNER).database(&name);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(owner.clone()).await?;
        migrate(&pool).await?;
        pool.close().await;
        let eyes = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(30))
            .connect_lazy_with(self.administrator.clone().database(&name));
        let url =
            owner_url(&self.url, &name).context("DATABASE_URL names user, password and host")?;
        Ok(Database { name, administrator: self.administrator.clone(), url, owner, eyes })
    }
}

/// The same server's URL for another user with the same password, and another database.
fn owner_url(url: &str, database: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (user, place) = rest.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    let (host, _) = place.split_once('/')?;
    Some(format!("postgres://{OWNER}:{password}@{host}/{database}"))
}

impl Database {
    /// How other programs connect as the owner.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs statements.
    pub async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.eyes).await;
        done.map(drop).with_context(|| sql.to_owned())
    }

    /// The number that a query answers; 0 for NULL.
    pub async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        let number = sqlx::query_scalar::<_, Option<i64>>(AssertSqlSafe(sql.to_owned()));
        let number = number.fetch_one(&self.eyes).await.with_context(|| sql.to_owned())?;
        Ok(number.unwrap_or_default())
    }

    /// A digest of a table's rows, to see that all ways have made the same.
    pub async fn digest(&self, table: &str) -> anyhow::Result<String> {
        let sql =
            format!("SELECT coalesce(md5(string_agg(t::text, ' ' ORDER BY t)), '') FROM {table} t");
        Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.eyes).await?)
    }

    /// Drops it.
    pub async fn remove(self) -> anyhow::Result<()> {
        self.eyes.close().await;
        let mut conn = PgConnection::connect_with(&self.administrator).await?;
        conn.execute(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name))).await?;
        conn.close().await?;
        Ok(())
    }
}
