//! A database for a unit test.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::migrate;
use crate::db;

/// A database of this test, migrated.
pub struct TestDatabase {
    administrator: PgConnectOptions,
    name: String,
}

impl TestDatabase {
    pub async fn new(prefix: &str) -> Self {
        let administrator: PgConnectOptions = match std::env::var(eventfabric_testdb::SERVER) {
            Ok(url) => url.parse().unwrap(),
            Err(_) => eventfabric_testdb::server().await.unwrap().administrator(),
        };
        let name = format!("{prefix}_{}", uuid::Uuid::now_v7().simple());
        let owner = eventfabric_testdb::OWNER;
        let mut conn = db::connect(&administrator).await.unwrap();
        let create = format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0");
        conn.execute(AssertSqlSafe(create)).await.unwrap();
        conn.close().await.unwrap();
        let database = Self { administrator, name };
        let pool = db::pool(database.owner(), 2);
        migrate::migrate(&pool).await.unwrap();
        pool.close().await;
        database
    }

    pub fn superuser(&self) -> PgConnectOptions {
        self.administrator.clone().database(&self.name)
    }

    pub fn owner(&self) -> PgConnectOptions {
        self.superuser().username(eventfabric_testdb::OWNER)
    }

    pub async fn drop(self) {
        let mut conn = db::connect(&self.administrator).await.unwrap();
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        conn.execute(AssertSqlSafe(drop)).await.unwrap();
        conn.close().await.unwrap();
    }
}
