//! The statements of the query builder, asked for their plans: what has an index is found by it.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use super::store;

const FORWARD: &str = include_str!("../../../../host/src/store/sql/query_forward.sql");
const BACKWARD: &str = include_str!("../../../../host/src/store/sql/query_backward.sql");
const COUNT: &str = include_str!("../../../../host/src/store/sql/query_count.sql");
const FORGET_TRACES: &str = include_str!("../../../../host/src/store/sql/forget_traces.sql");

/// The parameters of a query that asks for nothing but these: (number, SQL).
fn parameters(given: &[(usize, &str)]) -> String {
    let mut values = vec!["NULL"; 20];
    values[0] = "0";
    values[1] = "9223372036854775807";
    values[2] = "500";
    values[16] = "false";
    values[18] = "false";
    values[19] = "true";
    for (number, sql) in given {
        values[number - 1] = sql;
    }
    values.join(", ")
}

/// The scans of a plan: kind of node, and index.
fn scans(plan: &Value, found: &mut Vec<(String, String)>) {
    match plan {
        Value::Object(node) => {
            let text = |name: &str| node.get(name).and_then(Value::as_str).unwrap_or_default();
            if text("Node Type").contains("Scan") {
                found.push((text("Node Type").to_owned(), text("Index Name").to_owned()));
            }
            node.values().for_each(|value| scans(value, found));
        }
        Value::Array(nodes) => nodes.iter().for_each(|node| scans(node, found)),
        _ => {}
    }
}

async fn plan(conn: &mut PgConnection, statement: &str, parameters: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    scans(&explain(conn, statement, parameters).await, &mut found);
    found
}

async fn explain(conn: &mut PgConnection, statement: &str, parameters: &str) -> Value {
    conn.execute(AssertSqlSafe(format!("PREPARE asked AS {statement}"))).await.unwrap();
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE asked ({parameters})");
    let plan: Value =
        sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(&mut *conn).await.unwrap();
    conn.execute("DEALLOCATE asked").await.unwrap();
    plan
}

#[tokio::test]
async fn the_server_compiles_none_of_the_hosts_statements() {
    let (_db, store) = store().await;
    let jit = sqlx::query_scalar::<_, String>("SHOW jit").fetch_one(store.pool()).await.unwrap();
    assert_eq!(jit, "off");
    let from = "SELECT source FROM pg_catalog.pg_settings WHERE name = 'jit'";
    let from = sqlx::query_scalar::<_, String>(from).fetch_one(store.pool()).await.unwrap();
    // By the host itself, whatever the server has as its default.
    assert_eq!(from, "client");
}

#[tokio::test]
async fn what_has_an_index_is_found_by_it_and_the_log_is_not_read_for_it() {
    let (db, _store) = store().await;
    let mut conn = db.connect().await;
    // 40,000 events of 400 streams, a minute apart; one in ten has a correlation and a causation.
    conn.execute(sqlx::raw_sql(
        "INSERT INTO eventfabric.events
             (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload,
              occurred_at, correlation_id, causation_id, dismissed_at)
         SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Account',
                (n % 400)::text, n / 400 + 1, 'T' || n % 7, 1, jsonb_build_object('n', n),
                '2026-01-01'::timestamptz + n * interval '1 minute',
                CASE WHEN n % 10 = 0 THEN 'c' || n / 100 END,
                CASE WHEN n % 10 = 0 THEN 'x' || n / 100 END,
                CASE WHEN n % 5000 = 7 THEN now() END
         FROM generate_series(0, 39999) n;
         ANALYZE eventfabric.events;
         SET plan_cache_mode = force_custom_plan;
         SET search_path = ''",
    ))
    .await
    .unwrap();
    let stream = &["events_stream_covering_idx", "events_tenant_aggregate_version_key"][..];
    let position = &["events_pkey", "events_global_idx"][..];
    for (what, given, wanted) in [
        ("stream", &[(4, "'default'"), (5, "'{Account}'"), (6, "'17'")][..], stream),
        ("correlation", &[(12, "'c77'")], &["events_correlation_idx"]),
        ("causation", &[(13, "'x77'")], &["events_causation_idx"]),
        ("ids", &[(14, "'{9, 17}'")], position),
        ("time", &[(10, "'2026-01-03'"), (11, "'2026-01-03 01:00'")], &["events_occurred_idx"]),
        ("positions", &[(1, "39000"), (2, "39100")], position),
        ("only dismissed ones", &[(20, "false"), (19, "true")], &["events_dismissed_idx"]),
        (
            "correlation, then payload",
            &[(12, "'c77'"), (16, "'$.n > 7'"), (17, "true")],
            &["events_correlation_idx"],
        ),
    ] {
        for (name, statement) in [("forward", FORWARD), ("backward", BACKWARD), ("count", COUNT)] {
            let found = plan(&mut conn, statement, &parameters(given)).await;
            let by_index = found.iter().any(|(_, index)| wanted.contains(&index.as_str()));
            let whole = found.iter().any(|(node, _)| node == "Seq Scan");
            assert!(by_index && !whole, "{what}, {name}: {found:?}");
        }
    }
    // Without a condition a page is the index in its order, and not a sort of the log.
    for statement in [FORWARD, BACKWARD] {
        let found = plan(&mut conn, statement, &parameters(&[])).await;
        assert!(position.contains(&found[0].1.as_str()), "{found:?}");
    }
}

#[tokio::test]
async fn an_index_on_payloads_that_an_operator_adds_is_used_by_paths_and_parts() {
    let (db, _store) = store().await;
    let mut conn = db.connect().await;
    conn.execute(sqlx::raw_sql(
        "INSERT INTO eventfabric.events
             (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
         SELECT gen_random_uuid(), 'Account', 'a' || n, 1, 'T', 1,
                jsonb_build_object('n', n, 'text', repeat('x', 200))
         FROM generate_series(1, 20000) n;
         CREATE INDEX by_payload ON eventfabric.events USING gin (payload jsonb_path_ops);
         ANALYZE eventfabric.events;
         SET plan_cache_mode = force_custom_plan;
         SET search_path = ''",
    ))
    .await
    .unwrap();
    for given in [
        &[(15, r#"'{"n": 77}'"#)][..],
        &[(16, "'$.n ? (@ == 77)'")],
        &[(16, "'$.n == 77'"), (17, "true")],
    ] {
        let found = plan(&mut conn, COUNT, &parameters(given)).await;
        assert!(found.iter().any(|(_, index)| index == "by_payload"), "{given:?}: {found:?}");
    }
}

#[tokio::test]
async fn traces_are_forgotten_from_where_the_last_ones_were_and_not_from_the_beginning() {
    let (db, _store) = store().await;
    let mut conn = db.connect().await;
    conn.execute(sqlx::raw_sql(
        "INSERT INTO eventfabric.event_traces (global_position, traceparent, stored_at)
         SELECT n, repeat('x', 55), now() - interval '90 days' FROM generate_series(1, 20000) n;
         ANALYZE eventfabric.event_traces;
         SET plan_cache_mode = force_generic_plan;
         SET search_path = ''",
    ))
    .await
    .unwrap();
    let plan = explain(&mut conn, FORGET_TRACES, "19000, 3600, 1000").await;
    let mut found = Vec::new();
    scans(&plan, &mut found);
    assert!(!found.iter().any(|(node, _)| node == "Seq Scan"), "{found:?}");
    let by_key = found.iter().filter(|(_, index)| index == "event_traces_pkey").count();
    assert_eq!((by_key, plan.to_string().matches("\"Index Cond\"").count()), (3, 3), "{plan}");
}
