//! `eventfabric verify`, as its user meets it.

use eventfabric::event::ExpectedVersion;
use eventfabric::store::EventStore;
use eventfabric_tests::TestDb;
use serde_json::Value;

use super::{attack, key, sealed, stream};
use crate::cli::{Said, finish, program};
use crate::store::events;

/// Runs `verify` with these arguments and the key.
async fn verify(db: &TestDb, args: &[&str]) -> Said {
    let mut command = program(&[&["verify"], args].concat());
    command.env("EVENTFABRIC_DATABASE_URL", db.url());
    command.env("EVENTFABRIC_SEAL_KEY", key("first", 7));
    finish(&mut command, b"").await
}

#[tokio::test]
async fn it_says_what_is_wrong_and_ends_with_a_code_of_its_own() {
    let (db, _store) = sealed().await;
    let said = verify(&db, &[]).await.well();
    assert!(said.out.contains("3 streams, 15 events: 0 without a seal"), "{}", said.out);
    let change = "UPDATE eventfabric.events SET payload = '{}'
                  WHERE aggregate_id = 'a1' AND aggregate_version = 3";
    attack(&db, change).await;
    let said = verify(&db, &[]).await.failed(7, &["not what was sealed"]);
    assert!(said.out.contains("Account/a1, version 3: changed"), "{}", said.out);
    let said = verify(&db, &["--json"]).await.failed(7, &[]);
    let lines: Vec<Value> = said.lines();
    assert_eq!(lines[0]["problem"], "changed");
    assert_eq!((&lines[0]["id"], &lines[0]["version"]), (&"a1".into(), &3.into()));
    assert_eq!(lines[1]["findings"], 1);
    verify(&db, &["Account/a1"]).await.failed(7, &[]);
    verify(&db, &["Account/a2"]).await.well();
    verify(&db, &["Account/nobody"]).await.failed(4, &["no such stream"]);
}

#[tokio::test]
async fn strictly_every_event_has_a_seal() {
    let (db, _store) = sealed().await;
    verify(&db, &["--strict"]).await.well();
    let other = EventStore::new(db.pool(2).await);
    other.append(stream(0), ExpectedVersion::Any, events(1)).await.unwrap();
    let said = verify(&db, &[]).await.well();
    assert!(said.out.contains("16 events: 1 without a seal"), "{}", said.out);
    verify(&db, &["--strict"]).await.failed(7, &["1 events have no seal"]);
}

#[tokio::test]
async fn heads_kept_elsewhere_show_a_tail_that_was_cut_without_a_trace() {
    let (db, store) = sealed().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heads").to_string_lossy().into_owned();
    verify(&db, &["--write-heads", &file]).await.well();
    store.append(stream(2), ExpectedVersion::Any, events(1)).await.unwrap();
    verify(&db, &["--heads", &file]).await.well();
    // Everything that could tell, at once: and so nothing in the database does.
    attack(
        &db,
        "DELETE FROM eventfabric.events WHERE aggregate_id = 'a1' AND aggregate_version > 3;
         DELETE FROM eventfabric.event_seals WHERE aggregate_id = 'a1' AND aggregate_version > 3;
         UPDATE eventfabric.stream_versions SET current_version = 3 WHERE aggregate_id = 'a1';
         DELETE FROM eventfabric.events WHERE aggregate_id = 'a0';
         DELETE FROM eventfabric.event_seals WHERE aggregate_id = 'a0';
         DELETE FROM eventfabric.stream_versions WHERE aggregate_id = 'a0'",
    )
    .await;
    verify(&db, &[]).await.well();
    let said = verify(&db, &["--heads", &file]).await.failed(7, &[]);
    for line in ["Account/a0, version 5: removed", "Account/a1, version 5: removed"] {
        assert!(said.out.contains(line), "{}", said.out);
    }
    // Written anew by the holder of the key: the same versions, other events.
    store.append(stream(1), ExpectedVersion::Exact(3), events(2)).await.unwrap();
    let said = verify(&db, &["--heads", &file]).await.failed(7, &[]);
    assert!(said.out.contains("Account/a1, version 5: not the event"), "{}", said.out);
}

#[tokio::test]
async fn keys_come_from_a_file_as_well_and_are_never_shown() {
    let (db, _store) = sealed().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let with_file = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = program(&["verify", "--log", "trace"]);
        command.env("EVENTFABRIC_DATABASE_URL", db.url());
        command.env("EVENTFABRIC_SEAL_KEY_FILE", &file);
        finish(&mut command, b"").await
    };
    let said = with_file(&format!("{}\n{}\n", key("new", 9), key("first", 7))).await.well();
    let secret = "07".repeat(8);
    assert!(!said.err.contains(&secret) && !said.out.contains(&secret));
    let broken = with_file(&key("first", 7)[..40]).await.failed(1, &["NAME:HEX"]);
    assert!(!broken.err.contains(&secret), "{}", broken.err);
    let mut command = program(&["verify"]);
    command.env("EVENTFABRIC_DATABASE_URL", db.url());
    finish(&mut command, b"").await.failed(1, &["EVENTFABRIC_SEAL_KEY"]);
}

#[tokio::test]
async fn append_and_import_seal_with_the_key_of_the_settings() {
    let (db, _store) = sealed().await;
    let mut append = program(&["append", "--aggregate", "Account", "--id", "cli", "--type", "T"]);
    append.env("EVENTFABRIC_DATABASE_URL", db.url());
    append.env("EVENTFABRIC_SEAL_KEY", key("first", 7));
    finish(&mut append, b"").await.well();
    let mut import = program(&["import", "-"]);
    import.env("EVENTFABRIC_DATABASE_URL", db.url());
    import.env("EVENTFABRIC_SEAL_KEY", key("first", 7));
    let lines = r#"{"aggregate": "Account", "id": "cli", "type": "T", "payload": {"x": 1.0}}"#;
    finish(&mut import, lines.as_bytes()).await.well();
    verify(&db, &["--strict"]).await.well();
}
