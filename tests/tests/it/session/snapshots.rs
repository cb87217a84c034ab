//! Snapshots: when they are written, when they are used, and that they never matter to the result.

use eventfabric::event::{ExpectedVersion, NewEvent};
use eventfabric::session::{SessionError, SessionFactory, SnapshotPolicy};
use eventfabric::store::{NewSnapshot, SnapshotFilter, save_snapshots};
use eventfabric_tests::TestDb;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _};

use super::{Account, Bank, bank, factory, opened, stream};
use crate::store::store;

async fn snapshotting(policy: SnapshotPolicy) -> (TestDb, SessionFactory) {
    let (db, store) = store().await;
    let factory = factory(store, |account| account.snapshots(policy, 2));
    (db, factory)
}

/// Version, schema version and state of the snapshot of Account/1.
async fn snapshot(db: &TestDb) -> Option<(i32, i32, serde_json::Value)> {
    sqlx::query_as(
        "SELECT aggregate_version, snapshot_schema_version, state FROM eventfabric.snapshots
         WHERE aggregate_name = 'Account' AND aggregate_id = '1' AND tenant_id = 'default'",
    )
    .fetch_optional(&mut db.connect().await)
    .await
    .unwrap()
}

async fn version(db: &TestDb) -> i32 {
    snapshot(db).await.map_or(0, |(version, ..)| version)
}

async fn deposit(factory: &SessionFactory, times: u32) -> i64 {
    let accounts = factory.repository::<Account>();
    let deposited = accounts.modify("1", |account| {
        for _ in 0..times {
            account.deposit(1);
        }
        Ok::<_, SessionError>(account.cents)
    });
    deposited.await.unwrap().0
}

async fn spoil(db: &TestDb, change: &str) {
    let sql = format!("UPDATE eventfabric.snapshots SET {change}");
    db.connect().await.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// What only a load that used the snapshot can see.
const MARK: &str = r#"state = jsonb_set(state, '{cents}', '1000')"#;

#[tokio::test]
async fn snapshots_are_missed_only_where_none_is_due_not_at_multiples_of_n() {
    let (db, factory) = snapshotting(SnapshotPolicy::every(10)).await;
    opened(&factory, "1", 8).await;
    assert_eq!(version(&db).await, 0);
    // 9 + 4: past ten, at no multiple.
    assert_eq!(deposit(&factory, 4).await, 12);
    let state = json!({"owner": "Ada", "cents": 12, "closed": false});
    assert_eq!(snapshot(&db).await, Some((13, 2, state)));
    deposit(&factory, 9).await;
    assert_eq!(version(&db).await, 13, "22, past the multiple 20: nine events only");
    deposit(&factory, 1).await;
    assert_eq!(version(&db).await, 23);
}

#[tokio::test]
async fn a_snapshot_is_written_when_the_last_is_old_and_by_hand() {
    let (db, factory) =
        snapshotting(SnapshotPolicy::older_than(std::time::Duration::from_secs(3600))).await;
    opened(&factory, "1", 0).await;
    assert_eq!(version(&db).await, 1, "there was none");
    deposit(&factory, 1).await;
    assert_eq!(version(&db).await, 1, "that one is young");
    spoil(&db, "created_at = now() - interval '2 hours'").await;
    deposit(&factory, 1).await;
    assert_eq!(version(&db).await, 3);

    let mut session = factory.session();
    let account = session.load::<Account>("1").await.unwrap();
    session[account].deposit(1);
    session.snapshot(account);
    assert_eq!(session.save().await.unwrap().snapshots, [(stream("1"), 4)]);
    assert_eq!(version(&db).await, 4);
    // Also without any event.
    spoil(&db, "aggregate_version = 2").await;
    session.snapshot(account);
    let saved = session.save().await.unwrap();
    assert_eq!((saved.streams.len(), version(&db).await), (0, 4));
}

#[tokio::test]
async fn a_load_uses_the_snapshot_and_the_events_after_it() {
    let (db, factory) = snapshotting(SnapshotPolicy::every(5)).await;
    opened(&factory, "1", 6).await;
    spoil(&db, MARK).await;
    assert_eq!(deposit(&factory, 2).await, 1002);
    let (account, version) = factory.repository::<Account>().load("1").await.unwrap();
    assert_eq!((account.owner.as_str(), account.cents, version), ("Ada", 1002, 9));
    // Not where the kind of aggregate has none.
    let plain = super::factory(factory.store().clone(), |account| account);
    assert_eq!(plain.repository::<Account>().load("1").await.unwrap().0.cents, 8);
}

#[tokio::test]
async fn a_damaged_older_or_newer_snapshot_is_ignored_and_made_anew() {
    for (change, replaced) in [
        (r#"state = '{"cents": "many"}'"#, true),
        ("state = 'null'", true),
        ("aggregate_version = 500", true),
        ("snapshot_schema_version = 1", true),
        ("snapshot_schema_version = 0", true),
        ("rebuild_requested_at = now()", true),
        // Left to the newer program, until the next is due.
        ("snapshot_schema_version = 3", false),
    ] {
        let (db, factory) = snapshotting(SnapshotPolicy::every(5)).await;
        opened(&factory, "1", 6).await;
        spoil(&db, MARK).await;
        spoil(&db, change).await;
        assert_eq!(deposit(&factory, 1).await, 7, "{change}");
        let after = snapshot(&db).await.unwrap();
        assert_eq!((after.0, after.1) == (8, 2), replaced, "{change}: {after:?}");
        assert_eq!(deposit(&factory, 4).await, 11, "{change}");
        assert_eq!(deposit(&factory, 0).await, 11, "{change}");
        let (_, schema, state) = snapshot(&db).await.unwrap();
        assert_eq!(schema, 2, "{change}");
        assert!(state["cents"].as_i64().unwrap() < 1000, "{change}: {state}");
    }
}

#[tokio::test]
async fn the_state_of_an_older_schema_is_lifted() {
    let (db, store) = store().await;
    let old = factory(store.clone(), |account| account.snapshots(SnapshotPolicy::every(5), 1));
    opened(&old, "1", 6).await;
    spoil(&db, "state = state - 'cents' || '{\"euros\": 9}'").await;
    let new = factory(store, |account| {
        account
            .snapshots(SnapshotPolicy::every(5), 3)
            .upcast_snapshot(1, |mut state| {
                let euros = state["euros"].as_i64().ok_or("no euros")?;
                state["cents"] = json!(euros * 100);
                Ok(state)
            })
            .upcast_snapshot(2, |mut state| {
                state["owner"] = json!("Ada Lovelace");
                Ok(state)
            })
    });
    let (account, _) = new.repository::<Account>().load("1").await.unwrap();
    assert_eq!((account.owner.as_str(), account.cents), ("Ada Lovelace", 900));
    // A step that fails is as good as none: the events know better.
    spoil(&db, "state = '{}'").await;
    let (account, _) = new.repository::<Account>().load("1").await.unwrap();
    assert_eq!((account.owner.as_str(), account.cents), ("Ada", 6));
}

#[tokio::test]
async fn an_older_snapshot_never_replaces_a_newer_one() {
    let (db, factory) = snapshotting(SnapshotPolicy::every(5)).await;
    opened(&factory, "1", 6).await;
    let write = async |version: i32, whole: bool| {
        let state = json!({"owner": "", "cents": version, "closed": false}).to_string();
        let new = NewSnapshot { stream: stream("1"), version, schema_version: 2, state, whole };
        save_snapshots(&mut db.connect().await, &[new]).await.unwrap();
        snapshot(&db).await.unwrap().0
    };
    assert_eq!(write(6, true).await, 7);
    // Unless that one is newer than its stream.
    spoil(&db, "aggregate_version = 8").await;
    assert_eq!(write(6, true).await, 6);
    // One that is to be made anew is not replaced by what was made of it.
    spoil(&db, "rebuild_requested_at = now()").await;
    assert_eq!(write(7, false).await, 6);
    assert_eq!(write(7, true).await, 7);
}

#[tokio::test]
async fn a_snapshot_is_part_of_its_save() {
    let (db, factory) = snapshotting(SnapshotPolicy::every(2)).await;
    opened(&factory, "1", 0).await;
    let mut session = factory.session();
    let account = session.load::<Account>("1").await.unwrap();
    session[account].deposit(1);
    deposit(&factory, 0).await;
    factory
        .store()
        .append(
            stream("1"),
            ExpectedVersion::Any,
            vec![NewEvent::new("Account.Deposited", &json!({"cents": 1})).unwrap()],
        )
        .await
        .unwrap();
    assert!(session.save().await.unwrap_err().is_conflict());
    assert_eq!(version(&db).await, 0);
    // A state that PostgreSQL can't store costs the snapshot, and not the events.
    let mut session = factory.session();
    let account = session.load::<Account>("1").await.unwrap();
    session[account].owner = "\0".to_owned();
    session[account].deposit(1);
    assert_eq!(session.save().await.unwrap().streams[0].version, 3);
    assert_eq!(version(&db).await, 0);
}

#[tokio::test]
async fn ten_thousand_events_with_a_snapshot_are_the_same_as_without() {
    let (db, factory) = snapshotting(SnapshotPolicy::every(9_000)).await;
    opened(&factory, "1", 9_500).await;
    assert_eq!(deposit(&factory, 499).await, 9_999);
    assert_eq!(version(&db).await, 9_501);
    let accounts = factory.repository::<Account>();
    let with = accounts.load("1").await.unwrap();
    db.connect().await.execute("DELETE FROM eventfabric.snapshots").await.unwrap();
    let without = accounts.load("1").await.unwrap();
    assert_eq!(with.1, 10_000);
    assert_eq!(format!("{with:?}"), format!("{without:?}"));
}

#[tokio::test]
async fn rebuilding_goes_through_all_snapshots_of_a_kind_and_reports_what_fails() {
    let (db, factory) = snapshotting(SnapshotPolicy::every(2)).await;
    for id in ["1", "2", "3"] {
        opened(&factory, id, 3).await;
    }
    spoil(&db, MARK).await;
    let odd = NewEvent::new("Account.Frozen", &json!({})).unwrap();
    factory.store().append(stream("2"), ExpectedVersion::Any, vec![odd]).await.unwrap();
    let rebuilt = factory.rebuild_snapshots::<Account>(SnapshotFilter::default()).await.unwrap();
    assert_eq!(rebuilt.rebuilt, 2);
    assert_eq!(rebuilt.failed.len(), 1);
    assert_eq!(rebuilt.failed[0].0, stream("2"));
    assert_eq!(factory.repository::<Account>().load("1").await.unwrap().0.cents, 3);
    let (_db, unknown) = bank().await;
    assert_eq!(
        unknown.rebuild_snapshots::<Bank>(SnapshotFilter::default()).await.unwrap().rebuilt,
        0
    );
}

#[tokio::test]
async fn a_load_leaves_a_dismissed_event_out_though_a_snapshot_held_it() {
    let (db, factory) = snapshotting(SnapshotPolicy::every(3)).await;
    opened(&factory, "1", 2).await;
    let before = deposit(&factory, 7).await;
    assert!(version(&db).await > 3, "there is a snapshot to be misled by");
    let store = eventfabric::store::EventStore::new(db.pool(2).await);
    let found = store.query().of_stream(stream("1")).versions(3..=3).first().await.unwrap();
    let event = found.expect("a deposit of 1").id;
    store.dismiss(&[event.into()], "typing error", "ops").await.unwrap();
    // The next version is what it was, and the new snapshot lacks the event, too.
    assert_eq!(deposit(&factory, 5).await, before - 1 + 5);
    assert!(version(&db).await > 9);
    assert_eq!(deposit(&factory, 1).await, before - 1 + 6);
    store.undo_dismissal(&[event.into()], "ops").await.unwrap();
    assert_eq!(deposit(&factory, 1).await, before + 7);
}
