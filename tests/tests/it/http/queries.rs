//! Plugins answer queries.

use std::time::{Duration, Instant};

use eventfabric::http::{HttpConfig, HttpLimits, Scope, TokenConfig};
use eventfabric::plugin::{Limits, PluginLimits};
use eventfabric::runner::HostConfig;
use eventfabric_tests::database;
use serde_json::{Value, json};

use super::super::runners::rig::{deploy_guest, quick, until};
use super::{Answer, Api, ask, events, open};

const STREAM: &str = "/v1/streams/Counter/1/events";

/// An API with the guest that answers queries.
async fn reader(limits: Limits) -> Api {
    let api = Api::with(database().await, HostConfig { limits, ..quick() }, open()).await;
    deploy_guest(&api.host, "reader").await;
    api
}

async fn query(api: &Api, what: &str) -> Answer {
    ask(api.get(&format!("/v1/query/reader/{what}"))).await
}

/// A statement that the guest runs in its query `name`.
async fn run(api: &Api, name: &str, sql: &str) -> Answer {
    let sql: String = sql.bytes().map(|byte| format!("%{byte:02x}")).collect();
    query(api, &format!("{name}?sql={sql}")).await
}

fn detail(answer: &Answer) -> &str {
    answer.body["detail"].as_str().unwrap()
}

/// The projection goes on, whatever was asked.
async fn still_handles(api: &Api) {
    ask(api.post(STREAM, &events(1))).await.is(201);
    let state = "SELECT count(*) FROM eventfabric.projections WHERE state = 'failed'";
    let failed: i64 = sqlx::query_scalar(state).fetch_one(api.host.store().pool()).await.unwrap();
    assert_eq!(failed, 0);
}

#[tokio::test]
async fn queries_are_listed_and_answered() {
    let api = reader(quick().limits).await;
    let listed = ask(api.get("/v1/query/reader")).await.is(200).body;
    let echo = &listed["queries"][2];
    assert_eq!((&echo["name"], &echo["text"]), (&json!("echo"), &json!("What it is given")));
    assert_eq!(
        echo["parameters"][4],
        json!({"name": "text", "text": "Any text", "type": "text", "required": true})
    );
    assert_eq!(listed["queries"][3]["parameters"][0]["required"], false);
    ask(api.post(STREAM, &events(3))).await.is(201);
    let answer = query(&api, "count").await.is(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.body, json!({"columns": ["count"], "rows": [{"count": 3}]}));
    let none = query(&api, "own?x=1").await.problem(400, "invalid-request");
    assert!(detail(&none).contains("own has none"), "{}", none.body);
    ask(api.get("/v1/query/nobody")).await.problem(404, "projection-not-found");
    ask(api.get("/v1/query/nobody/count")).await.problem(404, "projection-not-found");
    let unknown = query(&api, "counts").await.problem(404, "query-not-found");
    assert!(detail(&unknown).contains("there are: count, own"), "{}", unknown.body);
    deploy_guest(&api.host, "counter_v1").await;
    let silent = ask(api.get("/v1/query/counter/count")).await.problem(404, "query-not-found");
    assert!(detail(&silent).contains("answers none"), "{}", silent.body);
    api.stop().await;
}

#[tokio::test]
async fn values_are_exact_in_both_directions() {
    let api = reader(quick().limits).await;
    let given = "boolean=true&int64=9007199254740993&float64=0.1&numeric=-12.50&text=%C3%B6+%26\
                 &uuid=01890A5D-AC96-774B-BCCE-B302099A8057\
                 &timestamptz=1969-12-31T23:59:59.999999Z&date=1969-12-31";
    let response = api.get(&format!("/v1/query/reader/echo?{given}")).send().await.unwrap();
    // As text, for a reader may round.
    let text = response.text().await.unwrap();
    for exact in [
        r#""int64":9007199254740993,"#,
        r#""float64":0.1,"#,
        r#""numeric":"-12.50","#,
        r#""text":"ö &","#,
        r#""uuid":"01890a5d-ac96-774b-bcce-b302099a8057","#,
        r#""timestamptz":"1969-12-31T23:59:59.999999Z","#,
        r#""date":"1969-12-31","#,
        r#""json":{"n": 12345678901234567890},"#,
        r#""nothing":null,"#,
        r#""numbers":[9007199254740993,null]"#,
    ] {
        assert!(text.contains(exact), "no {exact} in {text}");
    }
    let wrong = [
        ("boolean=true", "boolean=1", "boolean"),
        ("9007199254740993", "9223372036854775808", "int64"),
        ("-12.50", "1,5", "numeric"),
        ("date=1969-12-31", "date=1969-02-30", "date"),
        ("float64=0.1&", "", "float64"),
    ];
    for (right, wrong, name) in wrong {
        let answer = query(&api, &format!("echo?{}", given.replace(right, wrong))).await;
        let answer = answer.problem(400, "invalid-request");
        assert!(detail(&answer).contains(name), "{}", answer.body);
    }
    let twice = query(&api, "optional?number=1&number=2").await.problem(400, "invalid-request");
    assert!(detail(&twice).contains("number"), "{}", twice.body);
    let large = query(&api, "optional?number=2147483648").await.problem(422, "query-refused");
    assert!(detail(&large).contains("number"), "{}", large.body);
    assert_eq!(query(&api, "optional").await.is(200).body["rows"][0]["value"], Value::Null);
    // Its clock shows when it was asked.
    let now: chrono::DateTime<chrono::Utc> =
        query(&api, "clock").await.is(200).body["rows"][0]["value"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
    assert!((chrono::Utc::now() - now).num_seconds() < 60);
    api.stop().await;
}

#[tokio::test]
async fn a_query_writes_and_locks_nothing_and_stays_in_its_schema() {
    let api = reader(quick().limits).await;
    ask(api.post(STREAM, &events(2))).await.is(201);
    for write in [
        "INSERT INTO seen VALUES (-1, 'x')",
        "UPDATE seen SET tenant = 'x'",
        "DELETE FROM seen",
        "DELETE FROM seen RETURNING position",
        "WITH gone AS (DELETE FROM seen RETURNING position) SELECT * FROM gone",
        "SELECT position FROM seen FOR UPDATE",
        "MERGE INTO seen USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    ] {
        for name in ["sql", "execute", "queued"] {
            let answer = run(&api, name, write).await.problem(500, "query-failed");
            assert!(detail(&answer).contains("a query only reads"), "{write}: {}", answer.body);
        }
    }
    for elsewhere in [
        "SELECT count(*) FROM eventfabric.events",
        "SELECT count(*) FROM pg_catalog.pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT 1; SELECT 2",
        "COMMIT",
    ] {
        run(&api, "sql", elsewhere).await.problem(500, "query-failed");
    }
    assert_eq!(query(&api, "count").await.is(200).body["rows"][0]["count"], 2);
    still_handles(&api).await;
    api.stop().await;
}

/// The wall behind the one that judges statements: the server itself takes no writes there.
#[tokio::test]
async fn the_transaction_of_a_query_is_read_only() {
    let db = database().await;
    let pool = db.pool(1).await;
    let begun = eventfabric::db::Tx::begin_answering(&pool, Duration::from_secs(5)).await;
    let mut tx = begun.unwrap();
    let refused = sqlx::query("CREATE TABLE public.x ()").execute(tx.conn()).await.unwrap_err();
    let code = refused.as_database_error().unwrap().code().unwrap().into_owned();
    assert_eq!(code, "25006");
}

#[tokio::test]
async fn a_query_that_goes_wrong_is_an_answer_and_stops_nothing() {
    let limits = Limits { query: Duration::from_millis(700), ..quick().limits };
    let api = reader(limits).await;
    let panicked = query(&api, "panic").await.problem(500, "query-failed");
    assert!(detail(&panicked).contains("as it was told"), "{}", panicked.body);
    let refused = query(&api, "refuse").await.problem(422, "query-refused");
    assert_eq!(detail(&refused), "not like this");
    let later = query(&api, "later").await.problem(503, "busy");
    assert_eq!((detail(&later), later.header("retry-after")), ("not now", Some("1")));
    let garbage = query(&api, "no_json").await.problem(500, "query-failed");
    assert!(detail(&garbage).contains("\"value\""), "{}", garbage.body);
    let started = Instant::now();
    let endless = query(&api, "spin").await.problem(500, "query-failed");
    assert!(detail(&endless).contains("700ms"), "{}", endless.body);
    let slow = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    run(&api, "sql", slow).await.problem(503, "busy");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    still_handles(&api).await;
    api.stop().await;
}

#[tokio::test]
async fn an_answer_is_no_larger_than_its_limits() {
    let limits = Limits { query: Duration::from_secs(30), ..quick().limits };
    let config = HttpConfig {
        limits: HttpLimits { answer: Duration::from_secs(40), ..HttpLimits::default() },
        ..open()
    };
    let api = Api::with(database().await, HostConfig { limits, ..quick() }, config).await;
    deploy_guest(&api.host, "reader").await;
    let million = "SELECT n FROM generate_series(1, 1000000) n";
    let answer = run(&api, "sql", million).await.problem(500, "query-failed");
    assert!(detail(&answer).contains("more than 10000 rows"), "{}", answer.body);
    let answer = query(&api, "made_up?number=10001").await.problem(500, "query-failed");
    assert!(detail(&answer).contains("more than 10000 rows"), "{}", answer.body);
    let rows = query(&api, "made_up?number=10000").await.is(200).body;
    assert_eq!(rows["rows"].as_array().unwrap().len(), 10_000);
    // More than the host takes out of an instance.
    query(&api, "made_up").await.problem(500, "query-failed");
    still_handles(&api).await;
    api.stop().await;
}

// A query that never ends leaves one thread little time for anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queries_share_their_connections_and_take_none_of_others() {
    let short = PluginLimits { query: Some(Duration::from_millis(200)), ..PluginLimits::default() };
    let limits = Limits {
        query: Duration::from_secs(8),
        plugin: [("board".to_owned(), short)].into(),
        ..quick().limits
    };
    let host = HostConfig { limits, query_connections: 1, ..quick() };
    let api = Api::with(database().await, host, open()).await;
    deploy_guest(&api.host, "reader").await;
    deploy_guest(&api.host, "board").await;
    let board = async || ask(api.get("/v1/query/board/departures?origin=JFK")).await;
    until("it answers", async || board().await.status == 200).await;
    let started = Instant::now();
    let caller = tokio::spawn(api.get("/v1/query/reader/spin").send());
    until("the only connection is taken", async || board().await.status == 503).await;
    // Appends have connections of their own.
    ask(api.post(STREAM, &events(1))).await.is(201);
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    // The caller is gone, and the query still has its connection.
    let busy = board().await.problem(503, "busy");
    assert!(detail(&busy).contains("query_connections"), "{}", busy.body);
    until("it is free again", async || board().await.status == 200).await;
    assert!(started.elapsed() >= Duration::from_secs(8));
    api.stop().await;
}

#[tokio::test]
async fn a_projection_that_has_stopped_answers_still() {
    let api = reader(quick().limits).await;
    ask(api.post(STREAM, &events(1))).await.is(201);
    let registry = api.host.registry();
    let generation = registry.snapshot().registered["reader"].generation;
    registry.note_state("reader", generation, Some("as it was told")).await.unwrap();
    registry.sync().await.unwrap();
    assert!(!registry.snapshot().registered["reader"].runs());
    assert_eq!(query(&api, "count").await.is(200).body["rows"][0]["count"], 1);
    api.stop().await;
}

#[tokio::test]
async fn a_token_for_some_tenants_asks_only_what_is_theirs() {
    let token = |name: &str, scope, tenants: Option<&[&str]>| TokenConfig {
        name: name.to_owned(),
        token: Some(format!("0123456789abcdef-{name}")),
        token_sha256: None,
        token_env: None,
        scopes: [scope].into(),
        tenants: tenants.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
    };
    let tokens = vec![
        token("all", Scope::Read, None),
        token("acme", Scope::Read, Some(&["acme"])),
        token("writer", Scope::Append, None),
    ];
    let api = Api::start(HttpConfig { tokens, new_tenants: true, ..HttpConfig::default() }).await;
    deploy_guest(&api.host, "reader").await;
    let by = |name: &str, path: &str| api.get(path).bearer_auth(format!("0123456789abcdef-{name}"));
    for tenant in ["acme", "acme", "other"] {
        let path = format!("/v1/tenants/{tenant}/streams/Counter/1/events");
        let append = api.post(&path, &events(1)).bearer_auth("0123456789abcdef-writer");
        ask(append).await.is(201);
    }
    ask(api.get("/v1/query/reader/count")).await.problem(401, "unauthorized");
    ask(by("writer", "/v1/query/reader/count")).await.problem(403, "forbidden");
    let all = ask(by("all", "/v1/query/reader/count")).await.is(200).body;
    assert_eq!(all["rows"][0]["count"], 3);
    let own = ask(by("acme", "/v1/tenants/acme/query/reader/own")).await.is(200).body;
    assert_eq!(own["rows"], json!([{"tenant": "acme", "count": 2}]));
    let header = by("acme", "/v1/query/reader/own").header("x-tenant", "acme");
    assert_eq!(ask(header).await.is(200).body, own);
    for path in ["/v1/tenants/other/query/reader/own", "/v1/tenants/acme/query/reader/count"] {
        ask(by("acme", path)).await.problem(403, "tenant-forbidden");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_rebuild_is_not_seen_in_the_answers() {
    let api = reader(quick().limits).await;
    ask(api.post(STREAM, &events(50))).await.is(201);
    ask(api.post("/v1/plugins/reader/rebuild", &json!({}))).await.is(202);
    let rebuilt = "SELECT count(*) FROM eventfabric.projections
                   WHERE projection_name = 'reader' AND generation > 1";
    until("it is rebuilt", async || {
        // Without a pause, so that some of them meet the change.
        for _ in 0..5 {
            for answer in futures::future::join_all((0..4).map(|_| query(&api, "count"))).await {
                assert_eq!(answer.is(200).body["rows"][0]["count"], 50);
            }
        }
        let pool = api.host.store().pool();
        sqlx::query_scalar::<_, i64>(rebuilt).fetch_one(pool).await.unwrap() == 1
    })
    .await;
    assert_eq!(query(&api, "count").await.is(200).body["rows"][0]["count"], 50);
    api.stop().await;
}
