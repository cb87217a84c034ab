//! `dlq show --export` and `plugin replay`: an event that failed there fails here.

use std::path::Path;

use eventfabric::event::StreamId;
use eventfabric_tests::wasm;
use serde_json::{Value, json};

use crate::cli::{Said, finish, program, run};
use crate::runners::rig::{Running, World, append, deploy_guest, other_version, quick};

/// A world with a dead letter of `hostile_async` for each deed.
async fn letters(deeds: &[Value]) -> World {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    append(&world.store().await, StreamId::new("Deeds", "1"), "Deed", deeds).await;
    let count = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
    world.until_number(count, deeds.len() as i64).await;
    running.stop().await;
    world
}

async fn replay(capsule: &Path, more: &[&str]) -> Said {
    finish(program(&["plugin", "replay"]).arg(capsule).args(more), b"").await
}

const DIVIDED: &str = "SELECT 1 / count(*) FROM seen WHERE position = -7";

#[tokio::test]
async fn an_event_that_failed_on_the_database_fails_without_it() {
    let world = letters(&[json!({"do": "query", "sql": DIVIDED}), json!({"do": "panic"})]).await;
    let ids: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM eventfabric.outbox_dead_letters ORDER BY global_position",
    )
    .fetch_all(&world.eyes)
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (id, class, why) in [(ids[0], "poison", "division by zero"), (ids[1], "trap", "panicked")] {
        let capsule = dir.path().join(format!("{id}.json"));
        let export = ["dlq", "show", &id.to_string(), "--export", capsule.to_str().unwrap()];
        let said = run(&world.db, &export).await.well();
        assert!(said.out.contains("it fails as it did before"), "{}", said.out);
        for file in [capsule.clone(), capsule.with_extension("wasm")] {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let said = replay(&capsule, &[]).await.failed(1, &["the event fails"]);
        assert!(said.out.contains(&format!("the same failure: {class}: ")), "{}", said.out);
        assert!(said.out.contains(why), "{}", said.out);
        let said = replay(&capsule, &["--json"]).await.failed(1, &[]).json();
        assert_eq!(said["outcome"]["verdict"], "same", "{said}");
    }
    let steps = read(&dir.path().join(format!("{}.json", ids[0])))["steps"].clone();
    assert_eq!(steps[0]["query"]["statement"], DIVIDED);
    assert_eq!(steps[0]["query"]["answer"]["Err"]["sqlstate"], "22012");
    let left = "SELECT count(*) FROM hostile_async.seen";
    assert_eq!(world.number(left).await, 0, "what was handled again was undone");
}

#[tokio::test]
async fn what_has_changed_since_is_said() {
    let world = letters(&[json!({"do": "query", "sql": DIVIDED})]).await;
    let id = world.number("SELECT id FROM eventfabric.outbox_dead_letters").await.to_string();
    let dir = tempfile::tempdir().unwrap();
    let capsule = dir.path().join("letter.json");
    let export = ["dlq", "show", &id, "--export", capsule.to_str().unwrap()];
    run(&world.db, &export).await.well();

    // A component that is the same code, and a recording of other answers.
    let other = dir.path().join("other.wasm");
    std::fs::write(&other, other_version("hostile_async")).unwrap();
    let other = ["--wasm", other.to_str().unwrap()];
    let said = replay(&capsule, &other).await.failed(1, &[]);
    assert!(
        said.out.contains("the same failure") && said.out.contains("failed) on event"),
        "{}",
        said.out
    );

    let mut changed = read(&capsule);
    changed["steps"][0]["query"]["statement"] = "SELECT 2".into();
    std::fs::write(&capsule, changed.to_string()).unwrap();
    let said = replay(&capsule, &[]).await.well();
    for words in ["it goes another way from here", DIVIDED, "SELECT 2", "division by zero"] {
        assert!(said.out.contains(words), "no {words} in:\n{}", said.out);
    }
    changed["steps"][0]["query"]["statement"] = DIVIDED.into();
    changed["steps"][0]["query"]["answer"]["Err"]["message"] = "something else".into();
    std::fs::write(&capsule, changed.to_string()).unwrap();
    let said = replay(&capsule, &[]).await.failed(1, &[]);
    assert!(
        said.out.contains("another failure") && said.out.contains("something else"),
        "{}",
        said.out
    );

    let carriers = wasm("carriers");
    let said = replay(&capsule, &["--wasm", carriers.to_str().unwrap()]).await;
    said.failed(4, &["`hostile_async`", "`carriers`"]);

    // Cured, it goes well, and the capsule says so.
    world.execute("INSERT INTO hostile_async.seen VALUES (-7, 'cure')").await;
    let said = run(&world.db, &export).await.well();
    assert!(
        said.out.contains("it went well") && said.out.contains(&format!("requeue {id}")),
        "{}",
        said.out
    );
    let said = replay(&capsule, &[]).await.well();
    assert!(said.out.contains("no failure: the event is handled"), "{}", said.out);
}

#[tokio::test]
async fn what_is_no_capsule_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.json");
    for (text, why) in
        [("{}", "no capsule"), (r#"{"format": 9}"#, "form 9"), (r#"{"format": 1}"#, "damaged")]
    {
        std::fs::write(&file, text).unwrap();
        replay(&file, &[]).await.failed(4, &[why]);
    }
    let world = letters(&[json!({"do": "panic"})]).await;
    let id = world.number("SELECT id FROM eventfabric.outbox_dead_letters").await.to_string();
    let export = ["dlq", "show", &id, "--export", "capsule.wasm"];
    run(&world.db, &export).await.failed(4, &["ends otherwise"]);
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}
