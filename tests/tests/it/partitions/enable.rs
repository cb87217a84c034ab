//! Partitioning a log that is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eventfabric::event::ExpectedVersion;
use eventfabric::store::EventStore;
use eventfabric::store::migrate::migrate;
use eventfabric::store::partition::{PartitionError, Step, enable, is_partitioned, partitions};
use eventfabric_tests::database;
use sqlx::Executor as _;

use super::{bounds, fill, log, rows_of, stream_of, texts};
use crate::store::{events, number};

#[tokio::test]
async fn what_is_there_becomes_events_p0_and_what_comes_goes_to_events_p1_and_further() {
    let db = database().await;
    let store = EventStore::new(db.pool(4).await);
    fill(&store, 30).await;
    let before = log(&store).await;
    let enabled = enable(store.pool(), Some(20), 2, |_| {}).await.unwrap();
    assert!(!enabled.already);
    let name = |name: &str, from, to| (name.to_owned(), from, Some(to));
    assert_eq!(
        bounds(&store).await,
        [
            name("events_p0", None, 31),
            name("events_p1", Some(31), 40),
            name("events_p_40_60", Some(40), 60),
            name("events_p_60_80", Some(60), 80),
        ]
    );
    assert_eq!(format!("{before:?}"), format!("{:?}", log(&store).await));
    for n in 100..108 {
        store.append(stream_of(n), ExpectedVersion::NoStream, events(3)).await.unwrap();
    }
    let rows = rows_of(&db).await;
    let rows: Vec<(&str, i64)> = rows.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(rows, [("events_p0", 30), ("events_p1", 9), ("events_p_40_60", 15)]);
    let current: Vec<String> = partitions(store.pool())
        .await
        .unwrap()
        .into_iter()
        .filter(|partition| partition.current)
        .map(|partition| partition.name)
        .collect();
    assert_eq!(current, ["events_p_40_60"]);
    let names = "SELECT name FROM eventfabric.schema_migrations";
    let recorded = texts(&mut db.connect().await, names).await;
    assert!(recorded.contains(&"007_partitioning".to_owned()));
}

#[tokio::test]
async fn no_row_is_rewritten() {
    let db = database().await;
    let store = EventStore::new(db.pool(4).await);
    fill(&store, 30).await;
    let mut conn = db.connect().await;
    let rows = "SELECT format('%s %s %s', ctid, xmin, global_position) FROM eventfabric.events
                ORDER BY global_position";
    let file = |table| format!("SELECT pg_relation_filepath('eventfabric.{table}')");
    let before = (texts(&mut conn, rows).await, texts(&mut conn, &file("events")).await);
    enable(store.pool(), Some(20), 2, |_| {}).await.unwrap();
    let after = (texts(&mut conn, rows).await, texts(&mut conn, &file("events_p0")).await);
    assert_eq!(before, after);
}

#[tokio::test]
async fn the_partitioned_log_has_the_indexes_triggers_rights_and_sequence_of_the_old_one() {
    let db = database().await;
    let mut conn = db.connect().await;
    conn.execute("GRANT SELECT ON eventfabric.events TO PUBLIC").await.unwrap();
    conn.execute("GRANT UPDATE (dismissed_at) ON eventfabric.events TO PUBLIC").await.unwrap();
    conn.execute("COMMENT ON TABLE eventfabric.events IS 'ours'").await.unwrap();
    conn.execute("ALTER TABLE eventfabric.events ADD CONSTRAINT typed CHECK (type <> '')")
        .await
        .unwrap();
    let what = "
        SELECT replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') FROM pg_index
        WHERE indrelid = 'eventfabric.events'::regclass
          AND indexrelid::regclass::text NOT IN
              ('events_event_id_key', 'events_tenant_aggregate_version_key')
        UNION ALL
        SELECT pg_get_triggerdef(oid) FROM pg_trigger
        WHERE tgrelid = 'eventfabric.events'::regclass AND NOT tgisinternal
          AND tgname <> 'events_keys'
        UNION ALL
        SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = 'eventfabric.events'::regclass AND contype IN ('p', 'c')
        UNION ALL
        SELECT format('%s %s %s', relacl, relowner::regrole, obj_description(oid)) FROM pg_class
        WHERE oid = 'eventfabric.events'::regclass
        UNION ALL
        SELECT format('%s %s %s %s', attname, atttypid::regtype, attnotnull, attacl)
        FROM pg_attribute WHERE attrelid = 'eventfabric.events'::regclass AND attnum > 0
        UNION ALL
        SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
        WHERE adrelid = 'eventfabric.events'::regclass
        UNION ALL
        SELECT pg_get_serial_sequence('eventfabric.events', 'global_position')
        ORDER BY 1";
    let before = texts(&mut conn, what).await;
    assert!(before.len() > 25, "{before:?}");
    enable(&db.pool(2).await, None, 1, |_| {}).await.unwrap();
    assert_eq!(before, texts(&mut conn, what).await);
    // A partition that is made later has an index for each of them, too.
    let indexes = "SELECT count(*) FROM pg_index WHERE indrelid = (
        SELECT max(oid) FROM eventfabric.event_partitions)";
    let of_log = "SELECT count(*) FROM pg_index WHERE indrelid = 'eventfabric.events'::regclass";
    assert_eq!(number(&mut conn, indexes).await, number(&mut conn, of_log).await);
}

#[tokio::test]
async fn the_log_stays_append_only_by_every_name() {
    let (db, store) = super::filled(10, 25).await;
    let mut conn = db.connect().await;
    for (table, _, _) in bounds(&store).await.iter().chain(&[("events".to_owned(), None, None)]) {
        for sql in ["TRUNCATE eventfabric.{}", "DELETE FROM eventfabric.{} WHERE true"] {
            let sql = sql.replace("{}", table);
            let changed = conn.execute(sqlx::AssertSqlSafe(sql.clone())).await;
            // (A partition that waits for events has none to delete.)
            let empty = changed.as_ref().is_ok_and(|done| done.rows_affected() == 0);
            let refused = changed.is_err_and(|e| e.to_string().contains("append-only"));
            assert!(refused || (empty && sql.starts_with("DELETE")), "{sql}");
        }
    }
    assert_eq!(log(&store).await.len(), 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_and_reads_go_on_while_the_log_is_partitioned() {
    const WRITERS: i64 = 6;
    let db = database().await;
    let store = EventStore::new(db.pool(12).await).with_group_commit();
    fill(&store, 60).await;
    let (running, done) = (Arc::new(AtomicBool::new(true)), tokio::sync::watch::channel(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, running, started) = (store.clone(), running.clone(), done.0.clone());
            tokio::spawn(async move {
                let mut version = 0;
                while running.load(Ordering::Relaxed) || version < 5 {
                    let stream = stream_of(1000 + writer);
                    let expected = ExpectedVersion::Exact(version);
                    store.append(stream.clone(), expected, events(1)).await.unwrap();
                    version += 1;
                    started.send_modify(|n| *n += 1);
                    assert_eq!(crate::store::all(&store, &stream).await.len() as i32, version);
                }
                i64::from(version)
            })
        })
        .collect();
    let appended = |n| {
        let mut seen = done.0.subscribe();
        async move { drop(seen.wait_for(|so_far| *so_far >= n).await.unwrap()) }
    };
    appended(20).await;
    enable(store.pool(), Some(50), 2, |_| {}).await.unwrap();
    let so_far = *done.0.borrow();
    appended(so_far + 100).await;
    running.store(false, Ordering::Relaxed);
    let mut total = 60;
    for writer in writers {
        total += writer.await.unwrap();
    }
    let mut conn = db.connect().await;
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.events").await, total);
    let keyed = "SELECT count(*) FROM eventfabric.events JOIN eventfabric.event_keys
                 USING (event_id, global_position, tenant_id, aggregate_name, aggregate_id,
                        aggregate_version)";
    assert_eq!(number(&mut conn, keyed).await, total);
}

#[tokio::test]
async fn interrupted_it_goes_on_where_it_stood() {
    let db = database().await;
    let store = EventStore::new(db.pool(4).await);
    fill(&store, 30).await;
    let mut conn = db.connect().await;
    conn.execute("SELECT eventfabric.begin_keys(10)").await.unwrap();
    conn.execute("SELECT eventfabric.continue_keys(7)").await.unwrap();
    conn.execute("SELECT eventfabric.promise_border(1000000)").await.unwrap();
    store.append(stream_of(77), ExpectedVersion::NoStream, events(5)).await.unwrap();
    assert!(!is_partitioned(store.pool()).await.unwrap());
    let mut steps = Vec::new();
    let enabled = enable(store.pool(), None, 1, |step| steps.push(step)).await.unwrap();
    assert_eq!((enabled.size, enabled.doubles), (10, 0));
    assert_eq!(steps, [Step::Keys { done: 30, until: 30 }, Step::Switching]);
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.event_keys").await, 35);
    let left = "SELECT count(*) FROM pg_constraint WHERE conname = 'events_p0_range'";
    assert_eq!(number(&mut conn, left).await, 0);
}

#[tokio::test]
async fn called_again_it_changes_the_size_and_nothing_else() {
    let (_db, store) = super::partitioned(10, 1).await;
    fill(&store, 12).await;
    let again = enable(store.pool(), None, 1, |_| {}).await.unwrap();
    assert!(again.already);
    assert_eq!(again.created, ["events_p_20_30"], "room for one more than there was at first");
    let before = bounds(&store).await;
    let again = enable(store.pool(), None, 1, |_| {}).await.unwrap();
    assert!(again.created.is_empty());
    assert_eq!(again.size, 10);
    assert_eq!(before, bounds(&store).await);
    let larger = enable(store.pool(), Some(100), 1, |_| {}).await.unwrap();
    assert_eq!(larger.created, ["events_p_30_100", "events_p_100_200"]);
}

#[tokio::test]
async fn migrating_a_partitioned_database_finds_nothing_to_do() {
    let (_db, store) = super::filled(10, 12).await;
    assert_eq!(migrate(store.pool()).await.unwrap().applied, []);
}

#[tokio::test]
async fn a_large_log_is_looked_through_before_the_lock() {
    let db = database().await;
    let store = EventStore::new(db.pool(4).await);
    fill(&store, 3).await;
    let mut conn = db.connect().await;
    let jump = "SELECT setval('eventfabric.events_global_position_seq', 2000000)";
    conn.execute(jump).await.unwrap();
    store.append(stream_of(9), ExpectedVersion::NoStream, events(2)).await.unwrap();
    let mut steps = Vec::new();
    enable(store.pool(), Some(1000), 1, |step| steps.push(step)).await.unwrap();
    assert_eq!(steps[steps.len() - 2..], [Step::Looking, Step::Switching]);
    let found = bounds(&store).await;
    assert_eq!(found[0], ("events_p0".to_owned(), None, Some(3_001_000)));
    assert_eq!(found[1], ("events_p1".to_owned(), Some(3_001_000), Some(3_002_000)));
    // The promise that made it possible is forgotten: nothing stops an append at the border.
    conn.execute("SELECT setval('eventfabric.events_global_position_seq', 3000998)").await.unwrap();
    store.append(stream_of(10), ExpectedVersion::NoStream, events(4)).await.unwrap();
    let rows = rows_of(&db).await;
    assert_eq!(rows[0], ("events_p0".to_owned(), 6));
    assert_eq!(rows[1], ("events_p1".to_owned(), 3));
}

#[tokio::test]
async fn what_stands_on_the_log_is_named_and_the_log_left_as_it_was() {
    let db = database().await;
    let pool = db.pool(4).await;
    let mut conn = db.connect().await;
    for (make, named) in [
        ("CREATE VIEW public.recent AS SELECT * FROM eventfabric.events", "view public.recent"),
        (
            "CREATE TABLE public.notes (p bigint REFERENCES eventfabric.events)",
            "constraint notes_p_fkey",
        ),
        ("CREATE UNIQUE INDEX odd ON eventfabric.events (correlation_id)", "odd"),
    ] {
        conn.execute(make).await.unwrap();
        let error = enable(&pool, None, 1, |_| {}).await.unwrap_err();
        let PartitionError::StandsOn(objects) = &error else { panic!("{error}") };
        assert!(objects.iter().any(|object| object.contains(named)), "{objects:?}");
        assert!(!is_partitioned(&pool).await.unwrap());
    }
}

#[tokio::test]
async fn a_log_without_partitions_pays_nothing_for_them() {
    let db = database().await;
    let mut conn = db.connect().await;
    let store = EventStore::new(db.pool(2).await);
    fill(&store, 6).await;
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.event_keys").await, 0);
    let triggers = "SELECT count(*) FROM pg_trigger WHERE tgname = 'events_keys'";
    assert_eq!(number(&mut conn, triggers).await, 0);
    assert!(matches!(partitions(store.pool()).await, Err(PartitionError::NotPartitioned)));
}
