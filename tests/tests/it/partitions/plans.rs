//! Reads touch the partitions that they need: what the server has executed, not what it has planned.

use std::collections::BTreeSet;

use eventfabric::event::ExpectedVersion;
use eventfabric_tests::{TestDb, workspace};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _};

use super::{filled, stream_of, texts};
use crate::store::events;

/// The tables of the log that a statement of the store has read from, under a plan that was made for
/// these parameters and under one for any.
async fn touched(db: &TestDb, file: &str, parameters: &str) -> BTreeSet<String> {
    let statement = std::fs::read_to_string(workspace().join("host/src").join(file)).unwrap();
    let mut found = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let mut conn = db.connect().await;
        let prepare = format!(
            "SET search_path = ''; SET plan_cache_mode = {mode}; SET enable_seqscan = off;
             PREPARE it AS {statement}"
        );
        conn.execute(sqlx::raw_sql(AssertSqlSafe(prepare))).await.unwrap();
        let explain = format!(
            "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON) EXECUTE it ({parameters})"
        );
        let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain))
            .persistent(false)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        let mut tables = BTreeSet::new();
        executed(&plan, &mut tables);
        found.push(tables);
    }
    assert_eq!(found[0], found[1]);
    found.remove(0)
}

fn executed(plan: &Value, tables: &mut BTreeSet<String>) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| executed(part, tables)),
        Value::Object(node) => {
            let loops = node.get("Actual Loops").and_then(Value::as_f64);
            if let (Some(Value::String(name)), Some(1..)) =
                (node.get("Relation Name"), loops.map(|loops| loops as i64))
                && name.starts_with("events_p")
            {
                tables.insert(name.clone());
            }
            node.values().for_each(|part| executed(part, tables));
        }
        _ => {}
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_page_of_the_log_comes_from_the_partitions_of_its_positions() {
    let (db, _store) = filled(10, 75).await;
    let log = "store/sql/read_log.sql";
    let one = touched(&db, log, "32, 38, 100, NULL, NULL, NULL, false, NULL, 0").await;
    assert_eq!(one, names(&["events_p_30_40"]));
    let two = touched(&db, log, "35, 45, 100, NULL, NULL, 'default', false, NULL, 0").await;
    assert_eq!(two, names(&["events_p_30_40", "events_p_40_50"]));
    // And no further than the page goes.
    let first =
        touched(&db, log, "32, 9223372036854775807, 3, NULL, NULL, NULL, false, NULL, 0").await;
    assert_eq!(first, names(&["events_p_30_40"]));
}

#[tokio::test]
async fn the_safe_head_looks_at_the_end_of_the_log() {
    let (db, _store) = filled(10, 75).await;
    let found = touched(&db, "store/sql/safe_head_scan.sql", "72, 10000").await;
    // (And at the partitions that wait for events, which are empty.)
    assert!(found.contains("events_p_70_80"));
    let older = ["events_p0", "events_p1", "events_p_10_20", "events_p_50_60", "events_p_60_70"];
    assert!(found.is_disjoint(&names(&older)), "{found:?}");
}

#[tokio::test]
async fn a_stream_is_loaded_from_the_partitions_between_its_first_and_its_last_event() {
    let (db, store) = filled(10, 30).await;
    for version in 0..6 {
        let expected = ExpectedVersion::Exact(version * 4);
        store.append(stream_of(777), expected, events(4)).await.unwrap();
    }
    super::fill_from(&store, 100, 30).await;
    let stream = "'default', 'Account', 'a777'";
    let forward = "store/sql/read_stream_forward.sql";
    let whole = touched(&db, forward, &format!("{stream}, 1, 500, false")).await;
    assert_eq!(whole, names(&["events_p_30_40", "events_p_40_50", "events_p_50_60"]));
    let end = touched(&db, forward, &format!("{stream}, 22, 500, false")).await;
    assert_eq!(end, names(&["events_p_50_60"]));
    let nothing_new = touched(&db, forward, &format!("{stream}, 25, 500, false")).await;
    assert_eq!(nothing_new, names(&[]));
    let backward =
        touched(&db, "store/sql/read_stream_backward.sql", &format!("{stream}, 8, 500, false"))
            .await;
    assert_eq!(backward, names(&["events_p_30_40"]));
}

#[tokio::test]
async fn an_id_is_found_by_its_key() {
    let (db, _store) = filled(10, 75).await;
    let mut conn = db.connect().await;
    let ids = texts(
        &mut conn,
        "SELECT event_id::text FROM eventfabric.events WHERE global_position IN (41, 43)",
    )
    .await;
    let array = format!("ARRAY['{}', '{}']::uuid[]", ids[0], ids[1]);
    let found = touched(&db, "store/sql/find_by_ids.sql", &array).await;
    assert_eq!(found, names(&["events_p_40_50"]));
}

#[tokio::test]
async fn a_worker_of_the_outbox_reads_the_events_that_it_has_claimed() {
    let (db, _store) = filled(10, 75).await;
    let mut conn = db.connect().await;
    conn.execute("DELETE FROM eventfabric.outbox WHERE global_position NOT IN (21, 22)")
        .await
        .unwrap();
    conn.execute("ANALYZE eventfabric.outbox; ANALYZE eventfabric.events").await.unwrap();
    let found = touched(&db, "store/sql/outbox_claim.sql", "10, 60, 0").await;
    assert_eq!(found, names(&["events_p_20_30"]));
}

#[tokio::test]
async fn events_are_found_by_id_dismissed_and_given_back_in_a_log_in_partitions() {
    let (db, store) = filled(10, 45).await;
    let all = store.query().load().await.unwrap();
    let (first, last) = (all[3].clone(), all[44].clone());
    assert_eq!(store.load_by_ids(&[last.id, first.id]).await.unwrap()[1].position, first.position);
    let found = store.query().event_id(first.id).event_id(last.id).newest_first();
    let found: Vec<i64> = found.load().await.unwrap().iter().map(|event| event.position).collect();
    assert_eq!(found, [last.position, first.position]);

    // An id leads to its position, and that to one partition.
    let parameters = format!(
        "0, 9223372036854775807, 500, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         '{{{}}}', NULL, NULL, false, NULL, false, true",
        first.position
    );
    let mut conn = db.connect().await;
    let statement = include_str!("../../../../host/src/store/sql/query_forward.sql");
    conn.execute(sqlx::raw_sql(AssertSqlSafe(format!(
        "SET search_path = ''; SET plan_cache_mode = force_custom_plan; PREPARE it AS {statement}"
    ))))
    .await
    .unwrap();
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE it ({parameters})");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .persistent(false)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let tables = plan.to_string().matches("\"Relation Name\"").count();
    assert_eq!(tables, 1, "{plan}");

    store.dismiss(&[first.id.into(), last.position.into()], "r", "b").await.unwrap();
    assert_eq!(store.query().count().await.unwrap(), 43);
    assert_eq!(store.dismissals(&Default::default(), 10).await.unwrap().len(), 2);
    store.undo_dismissal(&[first.position.into(), last.id.into()], "b").await.unwrap();
    assert_eq!(store.query().count().await.unwrap(), 45);
}
