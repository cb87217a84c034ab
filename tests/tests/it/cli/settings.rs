//! Settings: where each is from, and which can't be meant.

use serde_json::{Value, json};

use super::{Said, finish, program};

/// What no command may print.
const SECRET: &str = "hunter2";

/// A settings file with a secret in every place that has one.
const FILE: &str = r#"
seal_key = "2026a:68756e74657232687568756e74657232687568756e7465723268756e74657232"
topics = { Account = "accounts" }

[runner]
poll = "1s"
logs = { lines = 7 }

[tenants]
acme = "postgres://me:hunter2@db1/acme?password=hunter2"

[limits.plugin.owners]
batch = "3s"

[plugin.owners]
api_key = "hunter2"

[[http.tokens]]
name = "ada"
token = "hunter2-hunter2-hunter2"
scopes = ["read"]

[telemetry]
otlp = "http://me:hunter2@127.0.0.1:4318/?key=hunter2"
headers = { authorization = "Bearer hunter2" }

[relay.nats]
url = "nats://me:hunter2@n1:4222,nats://me:hunter2@n2:4222"
stream = "EVENTS"
token = "hunter2"
"#;

async fn with(file: &str, env: &[(&str, &str)], args: &[&str]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("eventfabric.toml"), file).unwrap();
    let mut command = program(args);
    command.current_dir(dir.path()).envs(env.iter().copied());
    let said = finish(&mut command, b"").await;
    for text in [&said.out, &said.err] {
        assert!(!text.contains(SECRET) && !text.contains("68756e746572"), "{text}");
    }
    said
}

fn setting<'a>(all: &'a Value, name: &str) -> (&'a Value, &'a str) {
    let found = all.as_array().unwrap().iter().find(|setting| setting["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {all}"));
    (&found["value"], found["from"].as_str().unwrap())
}

#[tokio::test]
async fn every_setting_is_shown_with_its_place_and_without_secrets() {
    let env = [
        ("EVENTFABRIC_RUNNER__STALL", "9s"),
        ("EVENTFABRIC_SANDBOX__STRICT", "true"),
        ("EVENTFABRIC_TELEMETRY__HEADERS__TENANT", "hunter2"),
        ("EVENTFABRIC_RELAY__NATS__BATCH", "7"),
        ("EVENTFABRIC_LOG", "error"),
    ];
    let url = "--database-url=postgres://me:hunter2@localhost/shop?sslrootcert=hunter2";
    let said = with(FILE, &env, &["config", "show", "--json", url]).await.well().json();
    for (name, value, from) in [
        ("seal_key", json!(["2026a"]), "eventfabric.toml:2"),
        ("topics.Account", json!("accounts"), "eventfabric.toml:3"),
        ("runner.poll", json!("1s"), "eventfabric.toml:6"),
        ("runner.logs.lines", json!(7), "eventfabric.toml:7"),
        ("runner.logs.level", json!("debug"), "default"),
        ("runner.stall", json!("9s"), "EVENTFABRIC_RUNNER__STALL"),
        ("sandbox.strict", json!(true), "EVENTFABRIC_SANDBOX__STRICT"),
        ("tenants.acme", json!("postgres://me@db1:5432/acme"), "eventfabric.toml:10"),
        ("limits.plugin.owners.batch", json!("3s"), "eventfabric.toml:13"),
        ("plugin.owners.api_key", json!("(not shown)"), "eventfabric.toml:16"),
        ("http.tokens.0.name", json!("ada"), "eventfabric.toml:19"),
        ("http.tokens.0.token", json!("(not shown)"), "eventfabric.toml:20"),
        ("telemetry.headers.authorization", json!("(not shown)"), "eventfabric.toml:25"),
        (
            "telemetry.headers.tenant",
            json!("(not shown)"),
            "EVENTFABRIC_TELEMETRY__HEADERS__TENANT",
        ),
        ("relay.nats.stream", json!("EVENTS"), "eventfabric.toml:29"),
        ("relay.nats.token", json!("(not shown)"), "eventfabric.toml:30"),
        ("relay.nats.batch", json!(7), "EVENTFABRIC_RELAY__NATS__BATCH"),
        ("relay.nats.replicas", json!(1), "default"),
        ("database_url", json!("postgres://me@localhost:5432/shop"), "--database-url"),
        ("limits.batch", json!("10s"), "default"),
        ("runner.async.backoff.cap", json!("5m"), "default"),
    ] {
        assert_eq!(setting(&said, name), (&value, from), "{name}");
    }
    let table = with(FILE, &env, &["config", "show", "--set"]).await.well().out;
    assert!(table.contains("EVENTFABRIC_RUNNER__STALL") && !table.contains("default"), "{table}");
}

#[tokio::test]
async fn names_that_do_not_exist_are_told_all_at_once_with_what_may_be_meant() {
    let file =
        "pluggins = \"x\"\n[runner]\npol = \"1s\"\n[limits.plugin.owners]\nbacth = \"hunter2\"\n";
    let env = [("EVENTFABRIC_RUNNER__CATCHUP__BATCH", "7"), ("EVENTFABRIC_NOTHING_OF_OURS", "1")];
    for command in [["stats"].as_slice(), &["config", "show"]] {
        let said = with(file, &env, command).await;
        let said = said.failed(2, &["code: setting-unknown"]);
        for line in [
            "eventfabric.toml:1: there is no setting `pluggins`; did you mean `plugins`?",
            "eventfabric.toml:3: there is no setting `runner.pol`; did you mean `runner.poll`?",
            "eventfabric.toml:5: there is no setting `limits.plugin.owners.bacth`; did you mean \
             `limits.plugin.owners.batch`?",
            "EVENTFABRIC_RUNNER__CATCHUP__BATCH: there is no setting `runner.catchup`; did you mean \
             EVENTFABRIC_RUNNER__CATCH_UP?",
            "EVENTFABRIC_NOTHING_OF_OURS: there is no setting `nothing_of_ours`\n",
        ] {
            assert!(said.err.contains(line), "no `{line}` in\n{}", said.err);
        }
    }
}

#[tokio::test]
async fn a_wrong_value_is_told_with_its_name_its_place_and_what_is_wanted() {
    for (file, env, words) in [
        ("[runner]\npoll = \"soon\"", None, "eventfabric.toml:2: runner.poll: "),
        (
            "max_connections = \"many\"",
            None,
            "eventfabric.toml:1: max_connections: it must be a whole number",
        ),
        (
            "",
            Some(("EVENTFABRIC_RUNNER__ASYNC__WORKERS", "many")),
            "EVENTFABRIC_RUNNER__ASYNC__WORKERS: runner.async.workers: ",
        ),
        ("http.tokens = \"hunter2\"", None, "eventfabric.toml:1: http.tokens: "),
        ("[plugin.owners]\nkey = [\"hunter2\"]", None, "eventfabric.toml:2: plugin.owners.key: "),
        ("database_url = { a = \"hunter2\" }", None, "eventfabric.toml:1: "),
        ("seal_key = \"hunter2\"", None, "eventfabric.toml:1: seal_key: "),
        ("telemetry.otlp = \"nowhere\"", None, "telemetry.otlp is not the address of a collector"),
        ("telemetry.sample = 2.0", None, "telemetry.sample is from 0 to 1"),
        (
            "relay.a = { url = \"nats://n1\", stream = \"E\" }\n\
             relay.b = { url = \"nats://n1\", stream = \"E\" }",
            None,
            "relay.b and relay.a publish to the same stream E",
        ),
        (
            "relay.nats = { url = \"nats://hunter2@n1\", stream = \"a.b\" }",
            None,
            "relay.nats.stream is",
        ),
    ] {
        let said = with(file, env.as_slice(), &["stats"]).await;
        said.failed(2, &[words, "code: setting-wrong"]);
    }
    let said = with("a = \"hunter2\nb", &[], &["stats"]).await;
    said.failed(2, &["the settings file eventfabric.toml: line 1: ", "code: settings-unreadable"]);
    let said = finish(&mut program(&["--config", "/nowhere.toml", "stats"]), b"").await;
    said.failed(2, &["the settings file /nowhere.toml: "]);
}
