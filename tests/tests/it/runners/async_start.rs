//! Async projections that come later: they get what is new, or all that was there, each event once; and
//! topics that change while hosts run.

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::plugin::{NewProjection, SettingsChange, Start, change};
use eventfabric::projection::TopicFilter;
use eventfabric::runner::HostConfig;
use eventfabric::store::{Append, EventStore};
use serde_json::json;

use super::rig::{Process, Running, World, append, deploy_guest, folder, quick};
use crate::cli::run;

const SEEN: &str = "SELECT count(*) FROM hostile_async.seen";
const QUEUED: &str = "SELECT count(*) FROM eventfabric.outbox";
const RETRIES: &str = "SELECT count(*) FROM eventfabric.projection_retries";
const DEAD: &str = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
const BACKFILLS: &str = "SELECT count(*) FROM eventfabric.projection_backfills";

fn starting(start: Start) -> HostConfig {
    let mut config = quick();
    let new = NewProjection { start, ..NewProjection::default() };
    config.projections.insert("hostile_async".to_owned(), new);
    config
}

async fn flights(store: &EventStore, aircraft: usize, n: usize) {
    let stream = StreamId::new("Aircraft", aircraft.to_string());
    append(store, stream, "FlightDeparted", &vec![json!({"carrier": "AA"}); n]).await;
}

/// One event with a topic.
async fn labelled(store: &EventStore, topic: &str) {
    let append = Append {
        stream: StreamId::new("Deeds", topic),
        expected: ExpectedVersion::Any,
        topic: Some(topic.to_owned()),
        events: vec![NewEvent::new("Deed", &json!({"note": topic})).unwrap()],
    };
    store.append_all(vec![append]).await.unwrap();
}

#[tokio::test]
async fn a_projection_that_starts_now_gets_what_is_appended_from_then_on() {
    let world = World::new().await;
    let running = Running::start(&world, starting(Start::Now)).await;
    // They wait in the outbox, for no async projection is there.
    flights(running.host.store(), 1, 5).await;
    deploy_guest(&running.host, "hostile_async").await;
    flights(running.host.store(), 1, 3).await;
    world.until_number(QUEUED, 0).await;
    world.until_number(SEEN, 3).await;
    assert_eq!(world.number(RETRIES).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_projection_that_starts_with_all_gets_each_event_once_while_others_are_appended() {
    let world = World::new().await;
    let mut config = starting(Start::All);
    config.runner.r#async.workers = 3;
    config.runner.r#async.batch = 7;
    let one = Running::start(&world, config.clone()).await;
    let two = Running::start(&world, config).await;
    deploy_guest(&one.host, "carriers").await;
    flights(one.host.store(), 0, 300).await;
    world.until_number(QUEUED, 0).await;
    let appends = (1..=6).map(|aircraft| {
        let store = one.host.store();
        async move {
            for _ in 0..20 {
                flights(store, aircraft, 2).await;
            }
        }
    });
    let deploy = deploy_guest(&one.host, "hostile_async");
    tokio::join!(deploy, futures::future::join_all(appends));
    world.until_number(BACKFILLS, 0).await;
    // Had one come twice, its row of `seen` would have been there, and it would be dead.
    world.until_number(SEEN, 540).await;
    world.until_number(QUEUED, 0).await;
    world.until_number(RETRIES, 0).await;
    assert_eq!(world.number(DEAD).await, 0);
    let departed = "SELECT sum(departed)::bigint FROM carriers.carriers";
    assert_eq!(world.number(departed).await, 540);
    // From here on the queue brings what is new.
    flights(one.host.store(), 7, 1).await;
    world.until_number(SEEN, 541).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn older_events_go_on_where_a_killed_host_stopped() {
    let world = World::new().await;
    let carriers = folder(&["carriers"]);
    let mut first = Process::host(&world, Some(carriers.path()), &[]);
    first.until_log("running").await;
    let store = world.store().await;
    for aircraft in 0..4 {
        flights(&store, aircraft, 500).await;
    }
    world.until_number(QUEUED, 0).await;
    first.signal("KILL");
    first.ended().await;
    let env = [
        ("EVENTFABRIC_PROJECTION__HOSTILE_ASYNC__START", "all"),
        ("EVENTFABRIC_RUNNER__ASYNC__BATCH", "5"),
    ];
    let both = folder(&["carriers", "hostile_async"]);
    for part in 1..=3 {
        let mut host = Process::host(&world, Some(both.path()), &env);
        let far = format!(
            "SELECT ((SELECT count(*) FROM hostile_async.seen) >= {})::int::bigint",
            part * 200
        );
        world.until_number(&far, 1).await;
        host.signal("KILL");
        host.ended().await;
        assert_eq!(world.number(BACKFILLS).await, 1, "killed on the way");
        flights(&store, 9, 1).await;
    }
    let _host = Process::host(&world, Some(both.path()), &env);
    world.until_number(SEEN, 2003).await;
    world.until_number(BACKFILLS, 0).await;
    world.until_number(RETRIES, 0).await;
    assert_eq!((world.number(DEAD).await, world.number(QUEUED).await), (0, 0));
}

#[tokio::test]
async fn older_events_that_fail_are_tried_again_and_become_dead_letters() {
    let world = World::new().await;
    let running = Running::start(&world, starting(Start::All)).await;
    deploy_guest(&running.host, "carriers").await;
    let stream = StreamId::new("Aircraft", "1");
    let mut batch = vec![json!({"carrier": "AA"}); 10];
    batch[4]["do"] = "poison".into();
    append(running.host.store(), stream, "FlightDeparted", &batch).await;
    world.until_number(QUEUED, 0).await;
    deploy_guest(&running.host, "hostile_async").await;
    world.until_number(DEAD, 1).await;
    world.until_number(SEEN, 9).await;
    world.until_number(BACKFILLS, 0).await;
    assert_eq!(world.number(RETRIES).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn the_topic_of_an_older_event_is_what_the_settings_say_of_its_aggregate() {
    let world = World::new().await;
    let mut config = starting(Start::All);
    config.topics = [("Deeds".to_owned(), "deeds".to_owned())].into();
    let new = config.projections.get_mut("hostile_async").unwrap();
    new.topics = Some(TopicFilter::Include(vec!["deeds".to_owned()]));
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "carriers").await;
    flights(running.host.store(), 1, 5).await;
    append(running.host.store(), StreamId::new("Deeds", "1"), "Deed", &[json!({}), json!({})])
        .await;
    world.until_number(QUEUED, 0).await;
    deploy_guest(&running.host, "hostile_async").await;
    world.until_number(SEEN, 2).await;
    world.until_number(BACKFILLS, 0).await;
    assert_eq!((world.number(SEEN).await, world.number(RETRIES).await), (2, 0));
    running.stop().await;
}

#[tokio::test]
async fn topics_that_change_hold_at_once_for_what_no_host_has_claimed() {
    let world = World::new().await;
    let one = Running::start(&world, quick()).await;
    deploy_guest(&one.host, "hostile_async").await;
    let two = Running::start(&world, quick()).await;
    let store = one.host.store();
    let notes =
        "SELECT coalesce(string_agg(note, ',' ORDER BY position), '') FROM hostile_async.seen";
    labelled(store, "a").await;
    labelled(store, "b").await;
    world.until_number(SEEN, 2).await;

    run(&world.db, &["projections", "set", "hostile_async", "--topics", "include:a"]).await.well();
    for topic in ["b", "a", "b"] {
        labelled(store, topic).await;
    }
    world.until_number(QUEUED, 0).await;
    world.until_number(SEEN, 3).await;
    assert_eq!(world.texts(notes).await, ["a,b,a"]);

    let exclude = TopicFilter::Exclude(vec!["a".to_owned()]);
    let topics = SettingsChange { topics: Some(Some(exclude)), ..SettingsChange::default() };
    change(&world.eyes, "hostile_async", &topics).await.unwrap();
    for topic in ["a", "c"] {
        labelled(store, topic).await;
    }
    world.until_number(QUEUED, 0).await;
    world.until_number(SEEN, 4).await;
    assert_eq!(world.texts(notes).await, ["a,b,a,c"]);

    let as_plugin = SettingsChange { topics: Some(None), ..SettingsChange::default() };
    change(&world.eyes, "hostile_async", &as_plugin).await.unwrap();
    labelled(store, "a").await;
    world.until_number(SEEN, 5).await;
    one.stop().await;
    two.stop().await;
}
