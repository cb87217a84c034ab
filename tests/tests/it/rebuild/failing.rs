//! A rebuild that can't be done says why, and what is served stays as it is.

use eventfabric::runner::{Host, RebuildError, statuses};
use serde_json::json;

use super::super::runners::rig::{Running, World, deploy_guest, doing, quick};
use super::{assert_all_seen, assert_tidy, deeds, ok, options, run, table, until_seen};

#[tokio::test]
async fn an_event_that_the_plugin_refuses_is_named_and_nothing_changes() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let store = running.host.store();
    deeds(store, "default", 3, ok()).await;
    deeds(store, "default", 1, json!({"do": "config"})).await;
    until_seen(&world, "hostile_catchup", 28).await;
    let before = table(&world, "hostile_catchup.seen").await;
    // The same events, in a process with other settings.
    let strict = Host::open(world.db.options(), doing("poison"), None).await.unwrap();
    match run(&strict, "hostile_catchup", &options()).await {
        Err(RebuildError::Event { position, event, message }) => {
            assert!((22..=28).contains(&position), "{position}");
            assert!(event.starts_with("Deed at version 4 of Deeds/"), "{event}");
            assert!(message.contains("the event says poison"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(table(&world, "hostile_catchup.seen").await, before);
    let status = statuses(&world.eyes).await.unwrap().remove(0);
    let rebuild = status.rebuild.unwrap();
    assert!(rebuild.last_error.unwrap().contains("the event says poison"));
    assert!(!rebuild.running);
    deeds(store, "default", 1, ok()).await;
    assert_all_seen(&world, "hostile_catchup").await;
    // With the right settings it goes on where it failed.
    assert!(run(&running.host, "hostile_catchup", &options()).await.unwrap().resumed);
    assert_all_seen(&world, "hostile_catchup").await;
    assert_tidy(&world, "hostile_catchup").await;
    running.stop().await;
}

#[tokio::test]
async fn a_statement_that_names_the_live_schema_is_refused_in_the_new_tables() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let sql = "UPDATE hostile_catchup.seen SET note = 'mine' WHERE position = 1";
    deeds(running.host.store(), "default", 1, json!({"do": "exec", "sql": sql})).await;
    until_seen(&world, "hostile_catchup", 7).await;
    let before = table(&world, "hostile_catchup.seen").await;
    let error = run(&running.host, "hostile_catchup", &options()).await.unwrap_err();
    assert!(matches!(error, RebuildError::Plugin(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("hostile_catchup.seen is not the plugin's"), "{text}");
    assert_eq!(table(&world, "hostile_catchup.seen").await, before);
    running.stop().await;
}

#[tokio::test]
async fn what_depends_on_the_tables_is_not_lost_with_them() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), "default", 1, ok()).await;
    until_seen(&world, "hostile_catchup", 7).await;
    for (make, drop, named) in [
        (
            "CREATE VIEW public.report AS SELECT count(*) FROM hostile_catchup.seen",
            "DROP VIEW public.report",
            "the view public.report",
        ),
        (
            "CREATE INDEX by_note ON hostile_catchup.seen (note)",
            "DROP INDEX hostile_catchup.by_note",
            "the index by_note",
        ),
        (
            "CREATE TABLE public.more (position bigint REFERENCES hostile_catchup.seen)",
            "DROP TABLE public.more",
            "more",
        ),
        (
            "CREATE PUBLICATION changes FOR TABLE hostile_catchup.seen",
            "DROP PUBLICATION changes",
            "the publication changes",
        ),
    ] {
        world.execute(make).await;
        let error = run(&running.host, "hostile_catchup", &options()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("cannot be replaced") && text.contains(named), "{text}");
        world.execute(drop).await;
    }
    run(&running.host, "hostile_catchup", &options()).await.unwrap();
    assert_all_seen(&world, "hostile_catchup").await;
    running.stop().await;
}

#[tokio::test]
async fn a_projection_that_is_not_there_is_not_rebuilt() {
    let world = World::new().await;
    let host = Host::open(world.db.options(), quick(), None).await.unwrap();
    let error = run(&host, "nobody", &options()).await.unwrap_err();
    assert!(matches!(error, RebuildError::Unknown(_)), "{error:?}");
}
