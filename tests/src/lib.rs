//! Integration tests of EventFabric.

use eventfabric::db;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

/// A fresh database with the whole schema.
pub struct TestDb {
    options: PgConnectOptions,
}

/// Makes one.
pub async fn database() -> TestDb {
    let url = std::env::var("EVENTFABRIC_TEST_DATABASE")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5501/postgres".to_owned());
    let options: PgConnectOptions = url.parse().unwrap();
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    conn.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let options = options.database(&name);
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    conn.execute("CREATE SCHEMA eventfabric").await.unwrap();
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "sql")) {
        let sql = std::fs::read_to_string(file).unwrap();
        conn.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }
    TestDb { options }
}

impl TestDb {
    /// A pool on it.
    pub fn pool(&self, max: u32) -> PgPool {
        db::pool(self.options(), max)
    }

    /// How to reach it.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}
