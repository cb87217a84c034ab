//! `plugin test`: given these events, expect these rows.

use eventfabric_tests::{TestDb, database, wasm};
use serde_json::{Value, json};

use super::{scenarios_of, test};
use crate::cli::{Said, finish, program};
use crate::runners::rig::{Process, World, put, until};

/// Runs one scenario of the example plugin `carriers`.
async fn try_one(db: &TestDb, scenario: &Value) -> Said {
    try_on(db, "carriers", scenario).await
}

async fn try_on(db: &TestDb, component: &str, scenario: &Value) -> Said {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("one.json"), scenario.to_string()).unwrap();
    test(db, component, dir.path(), &[]).await
}

/// Asserts that it fails, with these lines among what is printed.
fn fails(said: Said, lines: &[&str]) {
    let said = said.failed(1, &["1 of 1 scenarios failed"]);
    for line in lines {
        assert!(said.out.contains(line), "no `{line}` in:\n{}", said.out);
    }
}

fn departed(expect: &Value) -> Value {
    json!({
        "given": [
            {"type": "FlightDeparted", "aggregate": "Aircraft", "id": "N1", "data": {"carrier": "UA"}},
            {"type": "FlightDeparted", "id": "N2", "data": {"carrier": "AA"}},
            {"type": "FlightDeparted", "data": {"carrier": "UA"}},
        ],
        "expect": expect,
    })
}

#[tokio::test]
async fn the_example_plugins_pass_their_scenarios() {
    let db = database().await;
    let plugins = ["aircraft", "board", "carriers", "notifications", "transfers", "webhooks"];
    for plugin in plugins {
        let said = test(&db, plugin, &scenarios_of(plugin), &["--json"]).await.well().json();
        let outcomes = said.as_array().unwrap();
        assert!(!outcomes.is_empty() && outcomes.iter().all(|it| it["ok"] == true), "{said}");
    }
    let left: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_namespace n
         LEFT JOIN pg_class c ON c.relnamespace = n.oid
         WHERE nspname IN ('aircraft__check', 'board__check', 'carriers__check', 'notifications__check',
                           'webhooks__check')",
    )
    .fetch_one(&mut db.connect().await)
    .await
    .unwrap();
    assert_eq!(left, 0, "the tables are gone");
}

#[tokio::test]
async fn rows_that_differ_are_shown_beside_each_other() {
    let db = database().await;
    let expect = json!({"tables": {"carriers": [
        {"carrier": "UA", "departed": 1}, {"carrier": "AA", "departed": 1}]}});
    fails(
        try_one(&db, &departed(&expect)).await,
        &[
            "table carriers: the rows differ (- expected, + found)",
            "    carrier  departed\n",
            "    AA       1\n",
            "  - UA       1\n",
            "  + UA       2\n",
        ],
    );
    let expect = json!({"queries": [{"sql": "SELECT carrier FROM carriers ORDER BY 1",
        "ordered": true, "rows": [{"carrier": "UA"}, {"carrier": "AA"}]}]});
    fails(
        try_one(&db, &departed(&expect)).await,
        &["query `SELECT carrier FROM carriers ORDER BY 1`"],
    );
    let expect = json!({"tables": {"carriers": []}});
    fails(try_one(&db, &departed(&expect)).await, &["arr_delay_minutes", "+ AA", "+ UA"]);
}

#[tokio::test]
async fn what_cannot_be_compared_is_named() {
    let db = database().await;
    for (expect, why) in [
        (json!({"tables": {"carrier": []}}), "relation \"carrier\" does not exist"),
        (
            json!({"tables": {"carriers": [{"name": "UA"}]}}),
            "no column `name`; there are carrier, departed",
        ),
        (
            json!({"tables": {"carriers": [{"departed": "two"}]}}),
            "invalid input syntax for type bigint: \"two\"",
        ),
        (
            json!({"queries": [{"sql": "SELECT 1, 2", "rows": [{"?column?": 1}]}]}),
            "two columns are called",
        ),
        (json!({"queries": [{"sql": "DELETE FROM carriers", "rows": []}]}), "only a SELECT"),
        (
            json!({"queries": [{"sql": "SELECT x FROM carriers", "rows": []}]}),
            "  | SELECT x FROM carriers\n        |        ^",
        ),
        (
            json!({"statements": ["DELETE FROM"]}),
            "no statement has `DELETE FROM`; these were used:",
        ),
    ] {
        fails(try_one(&db, &departed(&expect)).await, &[why]);
    }
}

#[tokio::test]
async fn an_error_is_expected_or_a_problem() {
    let db = database().await;
    let given = json!([
        {"type": "FlightArrived", "aggregate": "Aircraft", "id": "N1", "data": {"carrier": "UA"}},
        {"type": "FlightArrived", "data": {"carrier": "UA", "arr_delay": 1}},
        {"type": "FlightArived", "data": {"carrier": "UA", "arr_delay": 1}},
    ]);
    let scenario = |expect: Value| json!({"given": given.clone(), "expect": expect});
    let said =
        "event 1 (FlightArrived of Aircraft/N1) fails as `poison`: the payload of FlightArrived";
    fails(try_one(&db, &scenario(json!({}))).await, &[said, "did not get them: 3 (FlightArived)"]);
    for other in [json!({"event": 2}), json!({"kind": "trap"}), json!({"message": "no such"})] {
        let said = try_one(&db, &scenario(json!({"error": other}))).await;
        fails(said, &["expected that", "; none did so", "event 1 (FlightArrived"]);
    }
    let right = json!({"error": {"event": 1, "kind": "poison", "message": "arr_delay"}});
    try_one(&db, &scenario(right)).await.well();
}

#[tokio::test]
async fn traps_and_wrong_sql_are_shown_with_the_statement() {
    let db = database().await;
    let deed = |deed: Value| json!({"given": [{"type": "Deed", "aggregate": "A", "id": "1", "data": deed}], "expect": {}});
    let said = try_on(&db, "hostile_catchup", &deed(json!({"do": "panic"}))).await;
    fails(said, &["event 1 (Deed of A/1) fails as `trap`", "panicked"]);
    let wrong = json!({"do": "query", "sql": "\n SELECT 1\n FROM sen"});
    let said = try_on(&db, "hostile_catchup", &deed(wrong)).await;
    fails(
        said,
        &[
            "event 1 (Deed of A/1) fails as `fatal`",
            "relation \"sen\" does not exist",
            "|  FROM sen\n        |       ^",
        ],
    );
}

#[tokio::test]
async fn what_is_logged_can_be_expected() {
    let db = database().await;
    let logs = |logs: Value| {
        json!({"given": [{"type": "Deed", "aggregate": "A", "id": "1", "data": {"do": "print"}},
            {"type": "Deed", "data": {"do": "swallow_sql_error"}}],
            "expect": {"error": {"message": "missing"}, "logs": logs}})
    };
    let right = logs(json!(["debug: to standard out", "standard error", "info: swallowed: true"]));
    try_on(&db, "hostile_catchup", &right).await.well();
    let wrong = "no line that was logged has `warn: swallowed`; these were:\n        | ";
    let said = try_on(&db, "hostile_catchup", &logs(json!(["warn: swallowed"]))).await;
    fails(said, &[wrong, "  | info: swallowed: true\n"]);
    let mut silent = departed(&json!({"logs": ["hello"]}));
    silent["given"] = json!([]);
    fails(try_one(&db, &silent).await, &["has `hello`; none was logged"]);
}

#[tokio::test]
async fn rows_that_depend_on_the_batch_are_found() {
    let db = database().await;
    let given = json!([
        {"type": "Deed", "aggregate": "A", "id": "1", "data": {"do": "batch"}},
        {"type": "Deed", "data": {"do": "batch"}},
    ]);
    let scenario = json!({"given": given, "expect": {}});
    let said = try_on(&db, "hostile_catchup", &scenario).await;
    fails(said, &["other rows in seen", "- (1,2)", "+ (1,1)"]);
}

#[tokio::test]
async fn a_scenario_begins_with_new_tables_and_sequences() {
    let db = database().await;
    let dir = tempfile::tempdir().unwrap();
    let given = json!([{"type": "Deed", "aggregate": "A", "id": "1", "data": {}}]);
    let one = json!({"given": given, "expect": {"tables": {"seen": [{"position": 1}]}}});
    for name in ["a.json", "b.json"] {
        std::fs::write(dir.path().join(name), one.to_string()).unwrap();
    }
    let said = test(&db, "hostile_catchup", dir.path(), &["--json"]).await.well().json();
    assert_eq!(said.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_file_that_is_no_scenario_says_where() {
    let db = database().await;
    for (text, why) in [
        ("{", "EOF"),
        (r#"{"given": [], "expect": {}, "expected": {}}"#, "unknown field `expected`"),
        (r#"{"given": [{"typ": "A"}], "expect": {}}"#, "given[0].typ: unknown field `typ`"),
        (r#"{"given": [{"type": "A"}], "expect": {}}"#, "event 1: say which stream"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("one.json"), text).unwrap();
        fails(test(&db, "carriers", dir.path(), &[]).await, &[why]);
    }
    let dir = tempfile::tempdir().unwrap();
    test(&db, "carriers", dir.path(), &[])
        .await
        .failed(4, &["no scenario (*.json)", "--scenarios"]);
}

#[tokio::test]
async fn a_change_of_a_scenario_is_tested_at_once() {
    let (db, dir) = (World::new().await, tempfile::tempdir().unwrap());
    let file = dir.path().join("one.json");
    let expect = |n: u64| {
        departed(&json!({"tables": {"carriers": [{"carrier": "UA", "departed": n},
        {"carrier": "AA", "departed": 1}]}}))
    };
    std::fs::write(&file, expect(2).to_string()).unwrap();
    let (component, url, folder) = (wasm("carriers"), db.db.url(), dir.path().to_owned());
    let [component, folder] = [&component, &folder].map(|path| path.to_str().unwrap());
    let args =
        ["plugin", "test", component, "--scenarios", folder, "--watch", "--database-url", &url];
    let process = Process::start(&db, &args, &[]);
    let waits = |times: usize| process.output().matches("waiting for a change").count() == times;
    until("the first round has ended", async || waits(1)).await;
    assert!(process.output().contains("1 of 1 scenarios went well"), "{}", process.output());
    put(&file, expect(3).to_string().as_bytes());
    until("the second round has ended", async || waits(2)).await;
    for line in ["  - UA       3\n", "  + UA       2\n", "error: 1 of 1 scenarios failed"] {
        assert!(process.output().contains(line), "no `{line}` in:\n{}", process.output());
    }
    process.signal("INT");
    process.succeeded().await;
}

#[tokio::test]
async fn a_database_that_only_the_environment_names_is_not_touched() {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o755);
    let dir = tempfile::Builder::new().permissions(open).tempdir().unwrap();
    std::fs::copy(wasm("carriers"), dir.path().join("carriers.wasm")).unwrap();
    let mut command = program(&["plugin", "test"]);
    command
        .arg(dir.path().join("carriers.wasm"))
        .arg("--scenarios")
        .arg(scenarios_of("carriers"))
        // Would fail, if it were asked; and a private server can't be started by nobody.
        .env("EVENTFABRIC_DATABASE_URL", "postgres://nobody@127.0.0.1:1/live")
        .env("EVENTFABRIC_POSTGRES_BIN", "/nowhere");
    let said = finish(&mut command, b"").await;
    assert!(said.code != 0 && said.err.contains("/nowhere"), "{}", said.err);
}
