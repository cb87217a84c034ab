//! `schemas`, and `types` of what is registered.

use eventfabric::store;
use eventfabric_tests::{TestDb, database, target_dir};
use serde_json::json;

use super::{finish, program, run};

async fn append(db: &TestDb, payload: &str) -> super::Said {
    let command =
        ["append", "--aggregate", "Account", "--id", "1", "--type", "AccountOpened", "--payload"];
    run(db, &[&command[..], &[payload]].concat()).await
}

#[tokio::test]
async fn a_schema_is_registered_checked_enforced_and_made_types_of() {
    let db = database().await;
    append(&db, r#"{"owner": "Ada"}"#).await.well();
    append(&db, r#"{"owner": 5}"#).await.well();
    let folder = tempfile::tempdir_in(target_dir()).unwrap();
    let file = folder.path().join("opened.json");
    let schema = json!({
        "type": "object",
        "properties": {
            "owner": {"type": "string"},
            "parent": {"anyOf": [{"$ref": "#/$defs/Branch"}, {"type": "null"}]},
        },
        "required": ["owner"],
        "$defs": {"Branch": {"properties": {"since": {"type": "string", "format": "date"}}}},
    });
    std::fs::write(&file, schema.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let register = ["schemas", "register", "AccountOpened", "1", file];
    run(&db, &register).await.well();
    let said = run(&db, &["schemas", "check", "AccountOpened"]).await;
    assert!(
        said.out.contains("position 2: AccountOpened version 1 of Account/1: /owner: "),
        "{}",
        said.out
    );
    said.failed(4, &["1 of 2 events"]);
    run(&db, &["schemas", "enforce", "AccountOpened", "1"]).await.well();
    append(&db, r#"{"owner": 5}"#).await.failed(4, &["/owner", "schemas show AccountOpened 1"]);
    let listed = run(&db, &["schemas", "list"]).await.well();
    assert!(listed.out.contains("AccountOpened") && listed.out.contains("yes"), "{}", listed.out);
    assert_eq!(run(&db, &["schemas", "show", "AccountOpened", "1"]).await.well().json(), schema);
    let types = run(&db, &["types", "--lang", "typescript", "--registered"]).await.well().out;
    for part in ["type AccountOpened", "owner: string", "parent?: Branch | null", "since?: string"]
    {
        assert!(types.contains(part), "no `{part}` in {types}");
    }
    run(&db, &["schemas", "relax", "AccountOpened", "1"]).await.well();
    append(&db, r#"{"owner": 5}"#).await.well();
    // Another one, from standard input.
    let mut other =
        program(&["--database-url", &db.url(), "schemas", "register", "AccountOpened", "1", "-"]);
    finish(&mut other, b"{}").await.failed(4, &["another schema already", "remove this one first"]);
    let mut wrong = program(&["--database-url", &db.url(), "schemas", "register", "X", "1", "-"]);
    finish(&mut wrong, br#"{"type": "strange"}"#).await.failed(4, &["/type"]);
    run(&db, &["schemas", "remove", "AccountOpened", "1"]).await.well();
    for gone in ["remove", "show", "enforce"] {
        run(&db, &["schemas", gone, "AccountOpened", "1"]).await.failed(4, &["has no schema"]);
    }
    assert!(store::schemas(&db.pool(1).await, None, None).await.unwrap().is_empty());
}
