//! Seals: what an attacker with all rights on the database, but without the key, can't hide.

mod attacks;
mod sealing;
mod verifying;

use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::store::EventStore;
use eventfabric::store::seal::{Problem, Seal, Summary, verify};
use eventfabric_tests::{TestDb, database};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::store::events;

/// A key by its name and one byte.
pub fn key(name: &str, byte: u8) -> String {
    format!("{name}:{}", hex_of(byte))
}

fn hex_of(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

pub fn seal() -> Seal {
    key("first", 7).parse().unwrap()
}

pub fn stream(n: i64) -> StreamId {
    StreamId::new("Account", format!("a{n}"))
}

/// A store that seals, on a fresh database.
pub async fn sealing() -> (TestDb, EventStore) {
    let db = database().await;
    let store = EventStore::new(db.pool(8).await).with_seal(seal());
    (db, store)
}

/// The same with three streams of five events.
pub async fn sealed() -> (TestDb, EventStore) {
    let (db, store) = sealing().await;
    for n in 0..3 {
        store.append(stream(n), ExpectedVersion::NoStream, events(2)).await.unwrap();
        store.append(stream(n), ExpectedVersion::Exact(2), events(3)).await.unwrap();
    }
    (db, store)
}

/// What is wrong, as `stream version problem`, and the numbers.
pub async fn found_by(store: &EventStore, seal: &Seal) -> (Vec<String>, Summary) {
    let mut found = Vec::new();
    let summary = verify(store.pool(), seal, |seen| -> sqlx::Result<()> {
        for finding in &seen.findings {
            let problem = match &finding.problem {
                Problem::UnknownKey(key) => format!("unknown key {key}"),
                problem => format!("{problem:?}"),
            };
            found.push(format!("{} {} {problem}", finding.stream.id, finding.version));
        }
        Ok(())
    });
    let summary = summary.await.unwrap();
    assert_eq!(summary.findings as usize, found.len());
    found.sort();
    (found, summary)
}

pub async fn found(store: &EventStore) -> Vec<String> {
    found_by(store, &seal()).await.0
}

/// Does as a superuser what no trigger is to see.
pub async fn attack(db: &TestDb, sql: &str) {
    let mut conn = PgConnection::connect_with(&db.superuser()).await.unwrap();
    conn.execute("SET session_replication_role = replica").await.unwrap();
    let done = conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
