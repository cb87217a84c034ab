//! Tenants with a database each: opened when asked for, closed when idle, none hurt by another one.

use std::time::Duration;

use eventfabric::event::{ExpectedVersion, StreamName};
use eventfabric::store::EventStore;
use eventfabric::tenancy::{
    DatabaseUrl, Directory, TenancyConfig, TenantError, Tenants, migrate_all,
};
use eventfabric_tests::{TestDb, bare_database, database};
use futures::StreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{log, tenant};
use crate::runners::rig::until;
use crate::session::{Account, factory, opened};
use crate::store::{events, rows};

pub fn url(db: &TestDb) -> DatabaseUrl {
    db.url().parse().unwrap()
}

/// Tenants of these names, each on its database.
fn directory(tenants: &[(&str, &TestDb)]) -> Directory {
    Directory::fixed(tenants.iter().map(|(name, db)| (tenant(name), url(db))).collect())
}

fn quick() -> TenancyConfig {
    TenancyConfig {
        idle: Duration::from_millis(100),
        patience: Duration::from_secs(2),
        follow: Duration::from_millis(50),
        ..TenancyConfig::default()
    }
}

fn account() -> StreamName {
    StreamName::new("Account", "1")
}

/// Connections of the host's own to a database.
async fn connections(eyes: &mut PgConnection, db: &TestDb) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = $1 AND application_name = 'eventfabric'";
    sqlx::query_scalar(sql).bind(&db.name).fetch_one(eyes).await.unwrap()
}

pub async fn eyes(db: &TestDb) -> PgConnection {
    PgConnection::connect_with(&db.superuser().database("postgres")).await.unwrap()
}

pub async fn drop_database(db: &TestDb) {
    let sql = format!("DROP DATABASE {} WITH (FORCE)", db.name);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut eyes(db).await).await.unwrap();
}

#[tokio::test]
async fn each_tenant_is_served_from_its_own_database() {
    let (one, two) = (database().await, database().await);
    let tenants = Tenants::new(directory(&[("acme", &one), ("globex", &two)]), quick()).unwrap();
    for (name, n) in [("acme", 2), ("globex", 3)] {
        let store = tenants.store(&tenant(name)).await.unwrap();
        let appended = store.append(account(), ExpectedVersion::NoStream, events(n)).await.unwrap();
        assert_eq!(appended.events.len() as i64, n);
    }
    for (name, db, n) in [("acme", &one, 2), ("globex", &two, 3)] {
        assert_eq!(log(&tenants.store(&tenant(name)).await.unwrap()).await.len(), n);
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT tenant_id, count(*) FROM eventfabric.events GROUP BY tenant_id")
                .fetch_all(&mut db.connect().await)
                .await
                .unwrap();
        assert_eq!(rows, [(name.to_owned(), n as i64)]);
    }
}

#[tokio::test]
async fn tenants_that_share_a_database_stay_apart_there() {
    let db = database().await;
    let tenants = Tenants::new(directory(&[("acme", &db), ("globex", &db)]), quick()).unwrap();
    let acme = tenants.store(&tenant("acme")).await.unwrap();
    let globex = tenants.store(&tenant("globex")).await.unwrap();
    acme.append(account(), ExpectedVersion::NoStream, events(2)).await.unwrap();
    assert!(log(&globex).await.is_empty());
    globex.append(account(), ExpectedVersion::NoStream, events(1)).await.unwrap();
    assert_eq!(log(&acme).await.len(), 2);
}

#[tokio::test]
async fn a_tenant_that_is_not_in_the_directory_is_unknown() {
    let db = database().await;
    let tenants = Tenants::new(directory(&[("acme", &db)]), quick()).unwrap();
    for name in ["globex", "default", "ACME"] {
        let error = tenants.store(&tenant(name)).await.unwrap_err();
        assert!(matches!(error, TenantError::Unknown(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_database_that_is_gone_hurts_its_own_tenant_alone() {
    let (dead, live) = (database().await, database().await);
    let tenants = Tenants::new(directory(&[("dead", &dead), ("live", &live)]), quick()).unwrap();
    for name in ["dead", "live"] {
        let store = tenants.store(&tenant(name)).await.unwrap();
        store.append(account(), ExpectedVersion::Any, events(1)).await.unwrap();
    }
    drop_database(&dead).await;
    tenants.forget(&tenant("dead"));
    let first = tenants.store(&tenant("dead")).await.unwrap_err();
    let TenantError::Unavailable { reason, .. } = &first else { panic!("{first:?}") };
    assert!(reason.contains(&dead.name), "{reason}");
    // The next one to ask gets the same answer without a connection, the other tenant what it wants.
    for _ in 0..100 {
        let live = tenants.store(&tenant("live")).await.unwrap();
        live.append(account(), ExpectedVersion::Any, events(1)).await.unwrap();
    }
    let password = "the URL of the tests has a password";
    let url = dead.url();
    let secret = url.split(':').nth(2).and_then(|rest| rest.split('@').next()).expect(password);
    assert!(!format!("{first} {first:?}").contains(secret), "{first:?}");
}

#[tokio::test]
async fn a_tenant_whose_database_comes_back_is_served_again() {
    let db = bare_database().await;
    let directory = directory(&[("acme", &db)]);
    let tenants = Tenants::new(directory.clone(), quick()).unwrap();
    let error = tenants.store(&tenant("acme")).await.unwrap_err();
    assert!(error.to_string().contains("eventfabric tenants migrate"), "{error}");
    let entries = directory.list().await.unwrap();
    let done: Vec<_> = migrate_all(entries, 1, Duration::from_secs(5)).collect().await;
    assert!(done[0].outcome.as_ref().is_ok_and(|report| report.already == 0));
    until("it is served", async || tenants.store(&tenant("acme")).await.is_ok()).await;
}

#[tokio::test]
async fn a_pool_that_nobody_uses_is_closed_and_opened_again_when_asked_for() {
    let db = database().await;
    let tenants = Tenants::new(directory(&[("acme", &db)]), quick()).unwrap();
    let mut eyes = eyes(&db).await;
    for round in 1..=2 {
        let store = tenants.store(&tenant("acme")).await.unwrap();
        store.append(account(), ExpectedVersion::Any, events(1)).await.unwrap();
        assert!(connections(&mut eyes, &db).await > 0);
        assert_eq!(log(&store).await.len(), round);
        drop(store);
        let mut closed = async || connections(&mut eyes, &db).await == 0;
        until("its connections are closed", async || closed().await).await;
        assert!(tenants.open_ones().is_empty());
    }
}

#[tokio::test]
async fn a_store_that_is_held_stays_open_however_long() {
    let db = database().await;
    let config = TenancyConfig { idle: Duration::from_millis(40), ..quick() };
    let tenants = Tenants::new(directory(&[("acme", &db), ("other", &db)]), config).unwrap();
    let held = tenants.store(&tenant("acme")).await.unwrap();
    // Another one comes and goes in the meantime.
    drop(tenants.store(&tenant("other")).await.unwrap());
    until("the other one is closed", async || tenants.open_ones() == [tenant("acme")]).await;
    held.append(account(), ExpectedVersion::Any, events(1)).await.unwrap();
}

#[tokio::test]
async fn no_more_databases_are_open_than_the_settings_allow() {
    let databases = [database().await, database().await, database().await];
    let names = ["a", "b", "c"];
    let pairs: Vec<_> = names.into_iter().zip(&databases).collect();
    let idle = Duration::from_secs(600);
    let config = TenancyConfig { max_open: 2, idle, ..quick() };
    let tenants = Tenants::new(directory(&pairs), config).unwrap();
    let mut eyes = eyes(&databases[0]).await;
    for name in names {
        let store = tenants.store(&tenant(name)).await.unwrap();
        store.append(account(), ExpectedVersion::Any, events(1)).await.unwrap();
    }
    let mut left = tenants.open_ones();
    left.sort();
    assert_eq!(left, [tenant("b"), tenant("c")]);
    let mut closed = async || connections(&mut eyes, &databases[0]).await == 0;
    until("the first one has no connection", async || closed().await).await;
}

#[tokio::test]
async fn a_tenant_that_is_removed_or_moved_is_let_go() {
    let (control, one, two) = (database().await, database().await, database().await);
    let table = Directory::default().with_table(control.pool(2).await);
    table.add(&tenant("acme"), &url(&one)).await.unwrap();
    let idle = Duration::from_secs(600);
    let tenants = Tenants::new(table.clone(), TenancyConfig { idle, ..quick() }).unwrap();
    let acme = tenants.store(&tenant("acme")).await.unwrap();
    acme.append(account(), ExpectedVersion::Any, events(1)).await.unwrap();
    drop(acme);
    table.remove(&tenant("acme")).await.unwrap();
    until("it is unknown", async || {
        matches!(tenants.store(&tenant("acme")).await, Err(TenantError::Unknown(_)))
    })
    .await;
    table.add(&tenant("acme"), &url(&two)).await.unwrap();
    assert!(log(&tenants.store(&tenant("acme")).await.unwrap()).await.is_empty());
}

#[tokio::test]
async fn migrating_all_goes_on_past_failures_and_tells_them() {
    let (current, bare, gone) = (database().await, bare_database().await, bare_database().await);
    let list = [("a current", &current), ("b bare", &bare), ("c gone", &gone)];
    let entries = directory(&list).list().await.unwrap();
    drop_database(&gone).await;
    let mut done: Vec<_> = migrate_all(entries, 2, Duration::from_secs(5)).collect().await;
    done.sort_by(|a, b| a.entry.tenant.cmp(&b.entry.tenant));
    assert!(done[0].outcome.as_ref().is_ok_and(|report| report.applied.is_empty()));
    assert!(done[1].outcome.as_ref().is_ok_and(|report| report.already == 0));
    assert!(done[2].outcome.as_ref().is_err_and(|why| why.contains(&gone.name)), "{done:?}");
    let tenants = Tenants::new(directory(&list), quick()).unwrap();
    assert!(tenants.store(&tenant("b bare")).await.is_ok());
}

#[tokio::test]
async fn sessions_work_on_the_databases_of_tenants_and_keep_them_open() {
    let (control, one, two) = (database().await, database().await, database().await);
    let tenants = Tenants::new(directory(&[("acme", &one), ("globex", &two)]), quick()).unwrap();
    let shared = EventStore::new(control.pool(2).await);
    let factory = factory(shared, |account| account.topic("accounts"));
    for (name, deposits) in [("acme", 1), ("globex", 2)] {
        let own = factory.for_tenant(&tenants.store(&tenant(name)).await.unwrap());
        opened(&own, "1", deposits).await;
    }
    let acme = factory.for_tenant(&tenants.store(&tenant("acme")).await.unwrap());
    let mut session = acme.session();
    let account = session.load::<Account>("1").await.unwrap();
    assert_eq!(session[account].cents, 1);
    for (db, events) in [(&control, 0), (&one, 2), (&two, 3)] {
        assert_eq!(rows(db).await.0, events);
    }
    // What a session holds is not closed, however long it goes without use; what none holds is.
    drop(acme);
    until("the other one is closed", async || tenants.open_ones() == [tenant("acme")]).await;
    session[account].deposit(1);
    session.save().await.unwrap();
    assert_eq!(rows(&one).await.0, 3);
    drop(session);
    until("so is this one", async || tenants.open_ones().is_empty()).await;
}
