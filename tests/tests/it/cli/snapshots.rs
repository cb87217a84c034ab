//! `snapshots`: what an operator can do about them.

use eventfabric::session::{SessionError, SnapshotPolicy};
use eventfabric::store::{EventStore, SnapshotFilter};
use eventfabric_tests::{TestDb, database};

use super::run;
use crate::session::{Account, factory, opened};

async fn ids(db: &TestDb, args: &[&str]) -> Vec<String> {
    let args: Vec<&str> = ["snapshots", "list", "--json"].iter().chain(args).copied().collect();
    let list = run(db, &args).await.well().json();
    let id = |info: &serde_json::Value| {
        format!("{}:{}", info["tenant"].as_str().unwrap(), info["id"].as_str().unwrap())
    };
    list.as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn snapshots_are_listed_rebuilt_by_their_program_and_deleted() {
    let db = database().await;
    let store = EventStore::new(db.pool(4).await);
    let factory = factory(store, |account| account.snapshots(SnapshotPolicy::every(3), 1));
    opened(&factory, "a", 5).await;
    opened(&factory, "b", 5).await;
    opened(&factory, "short", 0).await;
    opened(&factory.clone().in_tenant("acme"), "a", 5).await;
    assert_eq!(ids(&db, &[]).await, ["acme:a", "default:a", "default:b"]);
    assert_eq!(ids(&db, &["--aggregate", "Account", "--id", "a"]).await, ["acme:a", "default:a"]);
    assert_eq!(ids(&db, &["--tenant", "acme"]).await, ["acme:a"]);
    assert_eq!(ids(&db, &["--limit", "1"]).await, ["acme:a"]);
    assert_eq!(ids(&db, &["--aggregate", "Order"]).await, [""; 0]);

    run(&db, &["snapshots", "rebuild"]).await.failed(4, &["--aggregate", "--all"]);
    let marked = ["snapshots", "rebuild", "--json", "--aggregate", "Account", "--id", "a"];
    assert_eq!(run(&db, &marked).await.well().json()["rebuild_requested"], 2);
    assert_eq!(ids(&db, &["--rebuild-requested"]).await, ["acme:a", "default:a"]);
    assert!(run(&db, &["snapshots", "list"]).await.well().out.contains("to be made anew"));
    // One by a save, the other by the program's own sweep.
    let accounts = factory.repository::<Account>();
    let deposit = |account: &mut _| {
        Account::deposit(account, 1);
        Ok::<_, SessionError>(())
    };
    accounts.modify("a", deposit).await.unwrap();
    assert_eq!(ids(&db, &["--rebuild-requested"]).await, ["acme:a"]);
    let asked = SnapshotFilter { rebuild_requested: true, ..SnapshotFilter::default() };
    let rebuilt = factory.rebuild_snapshots::<Account>(asked).await.unwrap();
    assert_eq!((rebuilt.rebuilt, rebuilt.failed.len()), (1, 0));
    assert_eq!(ids(&db, &["--rebuild-requested"]).await, [""; 0]);

    let delete = ["snapshots", "delete", "--json", "--tenant", "acme"];
    assert_eq!(run(&db, &delete).await.well().json()["deleted"], 1);
    assert_eq!(ids(&db, &[]).await, ["default:a", "default:b"]);
    let out = run(&db, &["snapshots", "delete", "--all"]).await.well().out;
    assert!(out.contains("2 deleted"), "{out}");
    assert_eq!(accounts.load("a").await.unwrap().0.cents, 6);
}
