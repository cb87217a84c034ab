//! What somebody on call looks at: the overview and its last hour, what the doctor finds, what a plugin may do, its
//! rows, streams and events that are looked for.

use std::time::Duration;

use eventfabric::http::{HttpConfig, Scope, TokenConfig};
use eventfabric_tests::{database, wasm};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::runners::rig::{deploy_guest, until};
use super::{Api, ask, events, open};

fn deed(payload: Value) -> Value {
    json!({"events": [{"type": "Deed", "payload": payload}]})
}

async fn overview(api: &Api) -> Value {
    ask(api.get("/v1/overview")).await.is(200).body
}

#[tokio::test]
async fn the_overview_tells_what_is_wrong_and_the_history_how_it_came() {
    let api = Api::start(open()).await;
    deploy_guest(&api.host, "hostile_catchup").await;
    until("it has looked", async || !overview(&api).await["looked_at"].is_null()).await;
    ask(api.post("/v1/streams/Deeds/1/events", &deed(json!({"do": "ok"})))).await.is(201);
    ask(api.post("/v1/streams/Deeds/2/events", &deed(json!({"do": "panic"})))).await.is(201);
    until("the projection has stopped, and was looked at", async || {
        let one = &overview(&api).await["projections"][0];
        one["state"] == "failed" && one["behind"] == 1
    })
    .await;
    let seen = overview(&api).await;
    let one = &seen["projections"][0];
    assert_eq!((&one["name"], &one["behind"]), (&json!("hostile_catchup"), &json!(1)), "{seen}");
    assert!(one["reason"].as_str().unwrap().contains("panic"), "{seen}");
    assert_eq!(seen["ready"], false);
    assert!(seen["reasons"][0].as_str().unwrap().contains("hostile_catchup"), "{seen}");
    assert_eq!(seen["hosts"].as_array().unwrap().len(), 1, "{seen}");
    assert!(seen["hosts"][0]["silent_seconds"].as_f64().unwrap() < 60.0, "{seen}");
    assert!(seen["rates"]["events"].is_number(), "{seen}");

    let history = ask(api.get("/v1/overview/history")).await.is(200).body;
    let looks = history["at"].as_array().unwrap().len();
    assert!(looks > 0, "{history}");
    for line in ["appends", "events", "deliveries", "outbox", "lag_seconds", "dead_letters"] {
        assert_eq!(history[line].as_array().unwrap().len(), looks, "{line} of {history}");
    }
    let grown: f64 = history["events"].as_array().unwrap().iter().filter_map(Value::as_f64).sum();
    assert!(grown > 0.0, "{history}");
    assert_eq!(history["behind"]["hostile_catchup"].as_array().unwrap().last(), Some(&json!(1)));
    let own = "/v1/overview/history?projection=hostile_catchup";
    let own = ask(api.get(own)).await.is(200).body;
    let behind = own["behind"]["hostile_catchup"].as_array().unwrap();
    assert_eq!(own["at"].as_array().unwrap().len(), behind.len(), "{own}");
    assert_eq!(behind.last(), Some(&json!(1)), "{own}");
    ask(api.get("/v1/overview?x=1")).await.problem(400, "invalid-request");

    let doctor = ask(api.get("/v1/doctor")).await.is(200).body;
    assert_eq!(doctor["healthy"], false, "{doctor}");
    let findings = doctor["findings"].as_array().unwrap();
    let found =
        findings.iter().find(|one| one["place"].as_str().unwrap().contains("hostile_catchup"));
    let found = found.unwrap_or_else(|| panic!("{doctor}"));
    assert_eq!(found["severity"], "problem");
    assert!(found["advice"].as_str().unwrap().contains("resume"), "{found}");
    assert_eq!(findings[0]["severity"], "problem", "the worst comes first");

    // What was found is kept for a while, but not beyond a change of what it speaks of.
    let projection = "/v1/projections/hostile_catchup";
    ask(api.post(&format!("{projection}/reset"), &json!({"to": "now"}))).await.is(200);
    ask(api.request(Method::POST, &format!("{projection}/resume"))).await.is(200);
    until("the host knows that it runs", async || overview(&api).await["ready"] == true).await;
    assert_eq!(overview(&api).await["projections"][0]["state"], "running");
    let doctor = ask(api.get("/v1/doctor")).await.is(200).body;
    assert!(!doctor["findings"].to_string().contains("hostile_catchup"), "{doctor}");
    api.stop().await;
}

#[tokio::test]
async fn the_overview_answers_while_the_database_does_not() {
    let api = Api::start(open()).await;
    until("it has looked", async || !overview(&api).await["looked_at"].is_null()).await;
    api.host.store().pool().close().await;
    let seen = overview(&api).await;
    assert_eq!((&seen["ready"], &seen["hosts"]), (&json!(false), &Value::Null), "{seen}");
    let reasons = seen["reasons"].to_string();
    assert!(reasons.contains("the database does not answer"), "{reasons}");
}

#[tokio::test]
async fn what_concerns_all_tenants_is_for_operators_alone() {
    let token = |name: &str, scope, tenants: Option<&str>| TokenConfig {
        name: name.to_owned(),
        token: Some(format!("{name}-0123456789abcdef")),
        token_sha256: None,
        token_env: None,
        scopes: [scope].into(),
        tenants: tenants.map(|one| [one.to_owned()].into()),
    };
    let tokens =
        vec![token("reader", Scope::Read, None), token("acme", Scope::Admin, Some("acme"))];
    let api = Api::start(HttpConfig { tokens, ..HttpConfig::default() }).await;
    let all = ["/v1/overview", "/v1/overview/history", "/v1/doctor", "/v1/plugins/ledger"];
    for path in all {
        let reader = api.get(path).bearer_auth("reader-0123456789abcdef");
        ask(reader).await.problem(403, "forbidden");
        let tenant = api.get(path).bearer_auth("acme-0123456789abcdef");
        ask(tenant).await.problem(403, "tenant-forbidden");
    }
    let rows = api.post("/v1/plugins/ledger/rows", &json!({"sql": "SELECT 1"}));
    ask(rows.bearer_auth("reader-0123456789abcdef")).await.problem(403, "forbidden");
    let streams = api.get("/v1/streams").bearer_auth("reader-0123456789abcdef");
    assert_eq!(ask(streams).await.is(200).body["aggregates"], json!([]));
    api.stop().await;
}

#[tokio::test]
async fn a_plugin_tells_what_it_may_do_and_its_rows_are_read_and_nothing_else() {
    let api = Api::start(open()).await;
    let bytes = std::fs::read(wasm("ledger_v1")).unwrap();
    let upload = api.request(reqwest::Method::POST, "/v1/plugins").body(bytes);
    ask(upload.header("content-type", "application/wasm")).await.is(200);
    ask(api.post("/v1/streams/Deeds/1/events", &events(12))).await.is(201);
    let path = "/v1/plugins/ledger/rows";
    let query = |sql: &str, limit: usize| api.post(path, &json!({"sql": sql, "limit": limit}));
    let count = "SELECT count(*) AS rows FROM entries";
    until("it has them", async || {
        ask(query(count, 1)).await.is(200).body["rows"] == json!([["12"]])
    })
    .await;

    let details = ask(api.get("/v1/plugins/ledger")).await.is(200).body;
    assert_eq!(details["name"], "ledger");
    assert_eq!(details["tables"][0]["name"], "entries", "{details}");
    assert!(!details["tables"][0]["columns"].as_array().unwrap().is_empty(), "{details}");
    assert!(details["statements"].to_string().contains("INSERT"), "{details}");
    let limits = details["limits"].as_array().unwrap();
    for limit in ["limits.batch", "limits.chain", "sandbox.schema_bytes"] {
        assert!(limits.iter().any(|known| known["setting"] == limit), "{details}");
    }
    assert!(!details["imports"].as_array().unwrap().is_empty(), "{details}");
    ask(api.get("/v1/plugins/nobody")).await.problem(404, "projection-not-found");

    let page = ask(query("SELECT * FROM entries", 5)).await.is(200).body;
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["more"]), (5, &json!(true)));
    let page = ask(query("SELECT * FROM entries", 12)).await.is(200).body;
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["more"]), (12, &json!(false)));
    for sql in [
        "DELETE FROM entries",
        "WITH gone AS (DELETE FROM entries RETURNING *) SELECT * FROM gone",
        "SELECT * FROM eventfabric.events",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT 1; DROP TABLE entries",
        "SELECT",
        "",
    ] {
        ask(query(sql, 10)).await.problem(422, "invalid-body");
    }
    ask(query("SELECT 1 AS one", 0)).await.problem(422, "invalid-body");
    ask(query("SELECT 1 AS one", 1001)).await.problem(422, "invalid-body");
    ask(api.post("/v1/plugins/nobody/rows", &json!({"sql": "SELECT 1 AS one"})))
        .await
        .problem(404, "projection-not-found");
    assert_eq!(ask(query(count, 1)).await.is(200).body["rows"], json!([["12"]]));

    // What is large ends early, and says so.
    let large = "SELECT repeat('x', 1000000) AS x FROM entries a, entries b";
    let page = ask(query(large, 1000)).await.is(200).body;
    let rows = page["rows"].as_array().unwrap().len();
    assert!((1..8).contains(&rows) && page["more"] == true, "{rows}");
    api.stop().await;
}

#[tokio::test]
async fn a_query_that_takes_long_is_ended_on_the_server_and_few_run_at_a_time() {
    let api = Api::start(open()).await;
    deploy_guest(&api.host, "ledger_v1").await;
    let slow =
        "SELECT count(*) AS n FROM generate_series(1, 100000) a, generate_series(1, 100000) b";
    let query = || ask(api.post("/v1/plugins/ledger/rows", &json!({"sql": slow})));
    let (one, two, third) = tokio::join!(query(), query(), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        query().await
    });
    for ended in [one, two] {
        let problem = ended.problem(422, "invalid-body").body;
        assert!(problem["detail"].as_str().unwrap().contains("was ended"), "{problem}");
    }
    third.problem(503, "overloaded");
    let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                   AND query LIKE '%eventfabric_reading%' AND pid <> pg_backend_pid()";
    let pool = api.host.store().pool().clone();
    until("the server has ended them", async || {
        sqlx::query_scalar::<_, i64>(running).fetch_one(&pool).await.unwrap() == 0
    })
    .await;
    api.stop().await;
}

#[tokio::test]
async fn streams_are_found_by_how_their_ids_begin() {
    let api = Api::start(open()).await;
    for id in ["a-1", "a-2", "a-3", "b-1"] {
        ask(api.post(&format!("/v1/streams/Account/{id}/events"), &events(2))).await.is(201);
    }
    ask(api.post("/v1/streams/Order/1/events", &events(1))).await.is(201);
    let kinds = ask(api.get("/v1/streams")).await.is(200).body;
    assert_eq!(kinds["aggregates"], json!(["Account", "Order"]));
    let page = ask(api.get("/v1/streams?aggregate=Account&begins=a-&limit=2")).await.is(200).body;
    let ids = |page: &Value| -> Vec<String> {
        let all = page["streams"].as_array().unwrap();
        all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&page), ["a-1", "a-2"]);
    assert_eq!((&page["streams"][0]["version"], &page["after"]), (&json!(2), &json!("a-2")));
    let next = "/v1/streams?aggregate=Account&begins=a-&limit=2&after=a-2";
    let page = ask(api.get(next)).await.is(200).body;
    assert_eq!((ids(&page), &page["after"]), (vec!["a-3".to_owned()], &Value::Null));
    api.stop().await;
}

#[tokio::test]
async fn a_stream_shows_its_snapshot_and_another_tenant_sees_nothing() {
    let db = database().await;
    let api = Api::on(db, HttpConfig { new_tenants: true, ..open() }).await;
    ask(api.post("/v1/streams/Account/1/events", &events(3))).await.is(201);
    let none = ask(api.get("/v1/streams/Account/1")).await.is(200).body;
    assert_eq!((&none["version"], &none["snapshot"]), (&json!(3), &Value::Null));
    sqlx::query(
        "INSERT INTO eventfabric.snapshots (tenant_id, aggregate_name, aggregate_id, aggregate_version,
             snapshot_schema_version, state)
         VALUES ('default', 'Account', '1', 2, 1, '{\"cents\": 9007199254740993}')",
    )
    .execute(api.host.store().pool())
    .await
    .unwrap();
    let answer = api.get("/v1/streams/Account/1").send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("9007199254740993") && answer.contains("\"version\":2"), "{answer}");
    ask(api.get("/v1/streams/Account/2")).await.problem(404, "stream-not-found");
    let other = api.get("/v1/streams/Account/1").header("x-tenant", "other");
    ask(other).await.problem(404, "stream-not-found");
    let other = ask(api.get("/v1/tenants/other/streams")).await.is(200).body;
    assert_eq!(other["aggregates"], json!([]));
    api.stop().await;
}

#[tokio::test]
async fn causes_and_effects_are_found() {
    let api = Api::on(database().await, HttpConfig { new_tenants: true, ..open() }).await;
    let event = |kind: &str, cause: Option<&str>| match cause {
        None => json!({"type": kind, "payload": {}, "correlation_id": "c 1"}),
        Some(cause) => {
            json!({"type": kind, "payload": {}, "correlation_id": "c 1", "causation_id": cause})
        }
    };
    let cause = json!({ "events": [event("Placed", None)] });
    let cause = ask(api.post("/v1/streams/Order/1/events", &cause)).await.is(201).body;
    let id = cause["events"][0]["event_id"].as_str().unwrap().to_owned();
    let effects = json!({ "events": [event("Paid", Some(&id)), event("Packed", Some(&id))] });
    ask(api.post("/v1/streams/Order/2/events", &effects)).await.is(201);
    ask(api.post("/v1/streams/Order/3/events", &events(5))).await.is(201);
    let types = async |query: &str| -> Vec<String> {
        let found = ask(api.get(&format!("/v1/events/query?{query}"))).await.is(200).body;
        let all = found["events"].as_array().unwrap();
        all.iter().map(|one| one["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types("correlation_id=c%201").await, ["Placed", "Paid", "Packed"]);
    assert_eq!(types(&format!("causation_id={id}")).await, ["Paid", "Packed"]);
    assert_eq!(types(&format!("event_id={id}")).await, ["Placed"]);
    assert_eq!(types(&format!("causation_id={id}&limit=1")).await, ["Paid"]);
    assert_eq!(types("correlation_id=c%201&after=1").await, ["Paid", "Packed"]);
    assert!(types("correlation_id=other").await.is_empty());
    ask(api.get("/v1/events/query")).await.problem(400, "invalid-request");
    ask(api.get("/v1/events/query?event_id=1")).await.problem(400, "invalid-request");
    let other = api.get("/v1/tenants/other/events/query?correlation_id=c%201");
    assert_eq!(ask(other).await.is(200).body["events"], json!([]));
    api.stop().await;
}

#[tokio::test]
async fn a_projection_tells_what_it_costs_to_people_and_to_prometheus() {
    let api = Api::start(open()).await;
    deploy_guest(&api.host, "hostile_catchup").await;
    let at = "/v1/projections/hostile_catchup";
    let costs = async || ask(api.get(&format!("{at}/costs"))).await.is(200).body;
    let before = costs().await;
    assert_eq!((&before["hosts"], &before["types"]), (&json!(0), &json!([])), "{before}");
    assert_eq!(ask(api.get(at)).await.is(200).body["cost"], Value::Null);
    ask(api.post("/v1/streams/Deeds/1/events", &deed(json!({"do": "ok"})))).await.is(201);
    until("it is written down", async || costs().await["hosts"] == 1).await;
    let known = costs().await;
    assert_eq!((&known["total"]["events"], &known["total"]["statements"]), (&json!(1), &json!(1)));
    let one = &known["types"][0];
    assert_eq!((&one["event_type"], &one["exact"]), (&json!("Deed"), &json!(true)), "{known}");
    assert_eq!(ask(api.get(at)).await.is(200).body["cost"], known["total"]);
    for line in [
        "eventfabric_projection_statements_total{projection=\"hostile_catchup\"} 1",
        "eventfabric_projection_event_sql_seconds{projection=\"hostile_catchup\",type=\"Deed\"} 0.",
    ] {
        until(line, async || {
            let metrics = ask(api.get("/metrics")).await.is(200).body;
            metrics.as_str().unwrap().contains(line)
        })
        .await;
    }
    ask(api.post("/v1/plugins/hostile_catchup/remove", &json!({}))).await.is(204);
    until("the gauges of what is gone vanish", async || {
        let metrics = ask(api.get("/metrics")).await.is(200).body;
        let metrics = metrics.as_str().unwrap();
        let of =
            |gauge: &str| metrics.contains(&format!("{gauge}{{projection=\"hostile_catchup\""));
        assert!(of("eventfabric_projection_statements_total"), "a counter never goes back");
        !of("eventfabric_projection_event_sql_seconds")
            && !of("eventfabric_projection_event_wasm_seconds")
            && !of("eventfabric_projection_position")
    })
    .await;
    ask(api.get("/v1/projections/nobody/costs")).await.problem(404, "projection-not-found");
    api.stop().await;
}
