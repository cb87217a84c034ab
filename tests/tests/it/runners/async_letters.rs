//! Dead letters say why, down to the statement; and those of catch-up projections come back, too.

use std::time::Duration;

use eventfabric::event::StreamId;
use eventfabric::plugin::{NewProjection, Start};
use eventfabric::store::{
    Cause, LetterFilter, bury_new, dead_letter, dead_letters, notify_events, requeue,
};
use futures::TryStreamExt as _;
use serde_json::json;

use super::rig::{Running, World, append, deeds, deploy_guest, quick};

const DEAD: &str = "SELECT count(*) FROM eventfabric.outbox_dead_letters";

#[tokio::test]
async fn a_letter_tells_class_sqlstate_and_statement() {
    let world = World::new().await;
    let mut config = quick();
    config.runner.r#async.max_attempts = 2;
    config.runner.r#async.max_retries = 2;
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "hostile_async").await;
    let long = format!("INSERT INTO seen SELECT 1 / 0, '{}'", "x".repeat(1000));
    let positions = deeds(
        running.host.store(),
        &[
            json!({"do": "poison"}),
            json!({"do": "exec", "sql": long}),
            json!({"do": "panic"}),
            json!({"do": "retry"}),
        ],
    )
    .await;
    world.until_number(DEAD, 4).await;
    let mut letters = dead_letters(&world.eyes, &LetterFilter::ALL, 10).await.unwrap();
    letters.sort_by_key(|letter| letter.position);
    let said: Vec<_> = letters
        .iter()
        .map(|l| (l.position, l.error_class.as_deref().unwrap(), l.sqlstate.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            (positions[0], "poison", None),
            (positions[1], "poison", Some("22012")),
            (positions[2], "trap", None),
            (positions[3], "retry", None),
        ]
    );
    let statements: Vec<_> = letters.iter().map(|l| l.failed_sql.as_deref()).collect();
    assert_eq!(statements, [None, Some(long.as_str()), None, None]);
    let error = letters[1].error.as_deref().unwrap();
    assert!(error.contains("division by zero") && error.len() < 800, "{error}");

    let only = |error_class| LetterFilter { error_class: Some(error_class), ..LetterFilter::ALL };
    assert_eq!(dead_letters(&world.eyes, &only("poison"), 10).await.unwrap().len(), 2);
    assert_eq!(requeue(&world.eyes, &only("trap")).await.unwrap(), 1);
    let (letter, event) =
        dead_letter(&world.eyes, letters[1].id, Some("default")).await.unwrap().unwrap();
    assert_eq!((letter.position, event.unwrap().position), (positions[1], positions[1]));
    assert!(dead_letter(&world.eyes, letters[1].id, Some("acme")).await.unwrap().is_none());
    running.stop().await;
}

#[tokio::test]
async fn an_error_with_nul_in_it_is_stored_and_stops_nobody() {
    let world = World::new().await;
    let mut config = quick();
    config.runner.r#async.max_attempts = 1;
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "hostile_async").await;
    deeds(running.host.store(), &[json!({"do": "nul"}), json!({})]).await;
    world.until_number(DEAD, 1).await;
    world.until_number("SELECT count(*) FROM hostile_async.seen", 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_letter_of_a_catch_up_projection_is_requeued_to_it_alone() {
    let world = World::new().await;
    let mut config = quick();
    let new = NewProjection { start: Start::Now, ..NewProjection::default() };
    config.projections.insert("hostile_catchup".to_owned(), new);
    let running = Running::start(&world, config).await;
    let store = running.host.store();
    append(store, StreamId::new("Deeds", "1"), "Deed", &[json!({"note": "left out"})]).await;
    let version = deploy_guest(&running.host, "hostile_catchup").await.version;
    deploy_guest(&running.host, "hostile_async").await;
    world.until_number("SELECT count(*) FROM hostile_async.seen", 1).await;
    let log: Vec<_> = store.read_log(Default::default()).try_collect().await.unwrap();
    let cause =
        Cause { error: "no", class: "poison", sqlstate: Some("23505"), sql: Some("SELECT 1") };
    let mut conn = world.db.connect().await;
    for attempts in [2, 3] {
        let failing = Duration::from_secs(5);
        bury_new(&mut conn, "hostile_catchup", &version, &log[0], attempts, failing, &cause)
            .await
            .unwrap();
    }
    let letters = dead_letters(&world.eyes, &LetterFilter::ALL, 10).await.unwrap();
    let [letter] = letters.as_slice() else { panic!("one for the event: {letters:?}") };
    assert_eq!((letter.attempts, letter.sqlstate.as_deref()), (3, Some("23505")));
    assert!(letter.first_failed_at.unwrap() < letter.dead_lettered_at);

    assert_eq!(requeue(&world.eyes, &LetterFilter::ALL).await.unwrap(), 1);
    notify_events(&world.eyes).await.unwrap();
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 1).await;
    world.until_number("SELECT count(*) FROM eventfabric.projection_retries", 0).await;
    assert_eq!(world.number("SELECT count(*) FROM hostile_async.seen").await, 1);
    assert_eq!(world.number(DEAD).await, 0);
    running.stop().await;
}
