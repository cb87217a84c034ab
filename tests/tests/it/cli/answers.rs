//! `plugin query`: what a plugin answers.

use eventfabric_tests::{database, wasm};
use serde_json::json;

use super::run;

#[tokio::test]
async fn a_plugin_is_asked_from_the_command_line() {
    let db = database().await;
    let file = wasm("reader");
    let file = file.to_str().unwrap();
    let inspected = run(&db, &["plugin", "inspect", file, "--json"]).await.well().json();
    assert_eq!(inspected["queries"][1]["name"], "own");
    run(&db, &["plugin", "deploy", file]).await.well();
    let append = ["append", "--aggregate", "Counter", "--id", "1", "--type", "Counted"];
    run(&db, &append).await.well();
    let ask = async |args: &[&str]| {
        let all: Vec<&str> = ["plugin", "query", "reader"].iter().chain(args).copied().collect();
        run(&db, &all).await
    };
    let listed = ask(&["--json"]).await.well().json();
    assert_eq!(
        listed[3],
        json!({"name": "optional", "text": "", "per_tenant": false, "parameters": [
            {"name": "number", "text": "", "type": "int64", "required": false}]})
    );
    let listed = ask(&[]).await.well().out;
    assert!(listed.contains("text=text") && listed.contains("Any text"), "{listed}");
    assert!(listed.contains("[number=int64]"), "{listed}");
    let own = ask(&["own", "--json"]).await.well().out;
    assert_eq!(own, "[{\"tenant\":\"default\",\"count\":1}]\n");
    assert_eq!(ask(&["own", "--tenant", "acme", "--json"]).await.well().out, "[]\n");
    let table = ask(&["optional"]).await.well().out;
    assert!(table.contains("value") && table.contains("∅"), "{table}");
    ask(&["optional", "number=x"]).await.failed(4, &["number: \"x\" is no whole number"]);
    ask(&["optional", "number"]).await.failed(2, &["NAME=VALUE"]);
    ask(&["nothing"]).await.failed(4, &["answers no query", "there are: count"]);
    ask(&["refuse"]).await.failed(4, &["not like this"]);
    let panicked = ask(&["panic"]).await;
    assert!(panicked.code == 1 && panicked.err.contains("as it was told"), "{}", panicked.err);
}
