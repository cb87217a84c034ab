//! A server that is away, refuses, or has no room: what the relay says and does.

use eventfabric::event::StreamId;
use eventfabric::plugin::{OnPoison, SettingsChange, change, resume};
use eventfabric::store::notify_plugins;
use serde_json::json;

use super::{Nats, RELAY, caught_up, relay, until_error};
use crate::runners::rig::{Running, World, append, good, until};

#[tokio::test]
async fn a_server_that_is_killed_is_waited_for_and_the_error_goes_with_its_cause() {
    let Some(mut nats) = Nats::start().await else { return };
    let world = World::new().await;
    let store = world.store().await;
    let running = Running::start(&world, relay(&nats, json!({"batch": 50, "timeout": "2s"}))).await;
    append(&store, StreamId::new("A", "1"), "Deed", &good(300)).await;
    until("it has begun", async || nats.count().await > 0).await;
    for part in 0..3 {
        nats.kill();
        append(&store, StreamId::new("A", format!("{part}")), "Deed", &good(200)).await;
        let error = until_error(&world, "running", "NATS").await;
        assert!(error.contains(&nats.url()), "{error}");
        nats.restart();
        caught_up(&world).await;
    }
    let messages = nats.messages().await;
    assert_eq!(messages.len(), 900);
    assert!(messages.windows(2).all(|pair| pair[0].position() < pair[1].position()));
    let without = "SELECT count(*) FROM eventfabric.projections WHERE last_error IS NULL";
    world.until_number(without, 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_named_with_the_command_that_makes_it() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    append(&world.store().await, StreamId::new("A", "1"), "Deed", &good(3)).await;
    let running = Running::start(&world, relay(&nats, json!({"create": false}))).await;
    until_error(&world, "running", "nats stream add EVENTS --subjects 'events.*.*.*'").await;
    let stream = async_nats::jetstream::stream::Config {
        name: "EVENTS".to_owned(),
        subjects: vec!["events.>".to_owned()],
        ..Default::default()
    };
    nats.client().await.create_stream(stream).await.unwrap();
    caught_up(&world).await;
    assert_eq!(nats.count().await, 3);
    // Deleted under a relay that works, it is missed as well.
    nats.client().await.delete_stream("EVENTS").await.unwrap();
    append(&world.store().await, StreamId::new("A", "1"), "Deed", &good(1)).await;
    until_error(&world, "running", "there is no stream EVENTS").await;
    running.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_stops_the_relay_or_is_set_aside_and_published_later() {
    let Some(mut nats) = Nats::start_with("max_payload: 20000").await else { return };
    let world = World::new().await;
    let (store, pool) = (world.store().await, world.db.pool(2).await);
    let large = json!({"text": "x".repeat(30_000)});
    let events = [good(3), vec![large], good(3)].concat();
    append(&store, StreamId::new("A", "1"), "Deed", &events).await;
    let running = Running::start(&world, relay(&nats, json!({}))).await;
    let error = until_error(&world, "failed", "20000 bytes").await;
    assert!(error.contains("position 4") && error.contains("max_payload"), "{error}");
    assert_eq!(nats.count().await, 3, "those before it were published");

    let aside = SettingsChange { on_poison: Some(OnPoison::SetAside), ..SettingsChange::default() };
    change(&pool, RELAY, &aside).await.unwrap();
    resume(&pool, RELAY).await.unwrap();
    notify_plugins(&pool).await.unwrap();
    caught_up(&world).await;
    assert_eq!(nats.count().await, 6);
    let letters = "SELECT count(*) FROM eventfabric.outbox_dead_letters
                   WHERE projection_name = 'relay:test' AND global_position = 4";
    assert_eq!(world.number(letters).await, 1);

    // With more room, it is published at last.
    nats.kill();
    let config = nats.dir.path().join("nats.conf");
    let larger = std::fs::read_to_string(&config).unwrap().replace("20000", "200000");
    std::fs::write(config, larger).unwrap();
    nats.restart();
    let requeue = ["dlq", "requeue", "--projection", RELAY];
    crate::runners::rig::Process::start(&world, &requeue, &[]).succeeded().await;
    until("it is there", async || nats.count().await == 7).await;
    assert_eq!(nats.messages().await.last().unwrap().position(), 4);
    running.stop().await;
}

#[tokio::test]
async fn wrong_credentials_and_rights_are_named_and_no_secret_with_them() {
    let users = r#"
        accounts { A { jetstream: enabled, users: [
            { user: relay, password: hunter2 }
            { user: mute, password: hunter2, permissions: { publish: { deny: "events.>" } } }
        ] } }"#;
    let Some(nats) = Nats::start_with(users).await else { return };
    let world = World::new().await;
    append(&world.store().await, StreamId::new("A", "1"), "Deed", &good(3)).await;
    let with = |user: &str| {
        let url = format!("nats://{user}@127.0.0.1:{}", nats.port);
        relay(&nats, json!({"url": url, "timeout": "1s"}))
    };
    for (user, says) in
        [("relay:hunter3", "refuses the credentials"), ("mute:hunter2", "Permissions Violation")]
    {
        let running = Running::start(&world, with(user)).await;
        let error = until_error(&world, "running", says).await;
        assert!(!error.contains("hunter"), "{error}");
        running.stop().await;
    }
    let running = Running::start(&world, with("relay:hunter2")).await;
    caught_up(&world).await;
    running.stop().await;
}

#[tokio::test]
async fn a_full_stream_is_waited_for() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    let mut config = async_nats::jetstream::stream::Config {
        name: "EVENTS".to_owned(),
        subjects: vec!["events.>".to_owned()],
        max_messages: 5,
        discard: async_nats::jetstream::stream::DiscardPolicy::New,
        ..Default::default()
    };
    nats.client().await.create_stream(config.clone()).await.unwrap();
    append(&world.store().await, StreamId::new("A", "1"), "Deed", &good(8)).await;
    let running = Running::start(&world, relay(&nats, json!({}))).await;
    until_error(&world, "running", "maximum messages exceeded").await;
    config.max_messages = 100;
    nats.client().await.update_stream(config).await.unwrap();
    caught_up(&world).await;
    let positions: Vec<i64> = nats.messages().await.iter().map(|it| it.position()).collect();
    assert_eq!(positions, (1..=8).collect::<Vec<i64>>());
    running.stop().await;
}

#[tokio::test]
async fn hosts_with_other_settings_leave_the_relay_to_those_that_came_last() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    let store = world.store().await;
    let first = Running::start(&world, relay(&nats, json!({"subject": "one"}))).await;
    append(&store, StreamId::new("A", "1"), "Deed", &good(2)).await;
    caught_up(&world).await;
    let mut stream = nats.client().await.get_stream("EVENTS").await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.subjects = vec!["one".to_owned(), "two".to_owned()];
    nats.client().await.update_stream(config).await.unwrap();
    let second = Running::start(&world, relay(&nats, json!({"subject": "two"}))).await;
    until("both know of it", async || {
        let generation =
            |host: &Running| host.host.registry().snapshot().registered[RELAY].generation;
        generation(&first) == 2 && generation(&second) == 2
    })
    .await;
    append(&store, StreamId::new("A", "1"), "Deed", &good(2)).await;
    caught_up(&world).await;
    let subjects: Vec<String> = nats.messages().await.into_iter().map(|it| it.subject).collect();
    assert_eq!(subjects, ["one", "one", "two", "two"]);
    first.stop().await;
    second.stop().await;
}
