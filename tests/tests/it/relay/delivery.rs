//! What comes to be in the stream: every event, once, in its order.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use eventfabric::event::{Event, StreamId};
use eventfabric::plugin::{SettingsChange, Start, change, pause, resume};
use eventfabric::projection::{Failure, FailureKind};
use eventfabric::runner::{Relay, Sink, reset};
use eventfabric::store::notify_plugins;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Nats, RELAY, caught_up, relay};
use crate::runners::rig::{Process, Running, World, append, good, until};

#[tokio::test]
async fn every_event_arrives_once_in_the_order_of_the_log_and_as_the_api_shows_it() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    let store = world.store().await;
    for n in 0..40 {
        let stream = StreamId::new("Account", format!("{}", n % 7));
        append(&store, stream, "Deed", &good(30)).await;
    }
    let running = Running::start(&world, relay(&nats, json!({"batch": 100}))).await;
    caught_up(&world).await;
    let positions = append(&store, StreamId::new("Account", "1"), "Deed", &[json!({"n": 1})]).await;
    caught_up(&world).await;
    let messages = nats.messages().await;
    assert_eq!(messages.len(), 1201);
    assert!(messages.windows(2).all(|pair| pair[0].position() < pair[1].position()));
    let last = messages.last().unwrap();
    assert_eq!(last.position(), positions[0]);
    assert_eq!(last.subject, "events.default.Account.Deed");
    assert_eq!(last.headers["Eventfabric-Id"], "1");
    let ids = "SELECT event_id::text FROM eventfabric.events ORDER BY global_position";
    let sent: Vec<_> = messages.iter().map(|it| it.headers["Nats-Msg-Id"].clone()).collect();
    assert_eq!(sent, world.texts(ids).await);
    assert_eq!(last.body["payload"]["n"], 1);
    assert_eq!(last.body["event_id"], last.headers["Nats-Msg-Id"]);
    running.stop().await;
}

#[tokio::test]
async fn tenants_have_an_order_each_and_no_name_leaves_its_part_of_the_subject() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    let store = world.store().await;
    let names = ["a.b", "*", ">", "$JS.API", "ä ö", "x\r\nNats-Msg-Id: 1", "-"];
    for (n, name) in names.iter().enumerate() {
        let stream = StreamId::new(*name, *name).in_tenant(*name);
        append(&store, stream, &format!("{name}.{n}"), &good(3)).await;
    }
    let subject = json!({"subject": "log.{tenant}.{aggregate}.{id}.{type}.{topic}"});
    let running = Running::start(&world, relay(&nats, subject)).await;
    caught_up(&world).await;
    let messages = nats.messages().await;
    assert_eq!(messages.len(), 3 * names.len());
    for name in names {
        let of_tenant: Vec<_> =
            messages.iter().filter(|message| message.body["tenant"] == name).collect();
        assert_eq!(of_tenant.len(), 3, "{name}");
        assert!(of_tenant.windows(2).all(|pair| pair[0].position() < pair[1].position()));
        for message in of_tenant {
            assert_eq!(message.subject.split('.').count(), 6, "{}", message.subject);
            assert!(!message.subject.contains(['*', '>', '$', ' ']), "{}", message.subject);
        }
    }
    let subjects: HashSet<_> = messages.iter().map(|message| &message.subject).collect();
    assert_eq!(subjects.len(), names.len(), "two names have become one");
    running.stop().await;
}

#[tokio::test]
async fn types_and_aggregates_that_are_not_asked_for_stay_here() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    let store = world.store().await;
    for (aggregate, event_type) in
        [("Order", "Placed"), ("Order", "Seen"), ("Cart", "Placed"), ("Order", "Placed")]
    {
        append(&store, StreamId::new(aggregate, "1"), event_type, &good(1)).await;
    }
    let only = json!({"types": ["Placed"], "aggregates": ["Order"]});
    let running = Running::start(&world, relay(&nats, only)).await;
    caught_up(&world).await;
    // From the tail, too.
    append(&store, StreamId::new("Cart", "1"), "Placed", &good(1)).await;
    append(&store, StreamId::new("Order", "1"), "Placed", &good(1)).await;
    until("the last one is there", async || nats.count().await == 3).await;
    let messages = nats.messages().await;
    assert!(messages.iter().all(|it| it.subject == "events.default.Order.Placed"));
    running.stop().await;
}

#[tokio::test]
async fn a_reset_publishes_again_what_the_stream_then_drops_and_a_pause_holds_back() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    let (store, pool) = (world.store().await, world.db.pool(2).await);
    append(&store, StreamId::new("A", "1"), "Deed", &good(700)).await;
    let running = Running::start(&world, relay(&nats, json!({}))).await;
    caught_up(&world).await;
    let sandbox = running.host.registry().sandbox();
    reset(&pool, sandbox, RELAY, Start::After(0), false).await.unwrap();
    notify_plugins(&pool).await.unwrap();
    caught_up(&world).await;
    assert_eq!(nats.count().await, 700);

    pause(&pool, RELAY, None, None).await.unwrap();
    notify_plugins(&pool).await.unwrap();
    let is_paused = async || {
        let snapshot = running.host.registry().snapshot();
        snapshot.registered[RELAY].paused.is_some()
    };
    until("the host knows of the pause", is_paused).await;
    append(&store, StreamId::new("A", "2"), "Deed", &good(1)).await;
    let head = async || running.host.head().borrow().position == 701;
    until("the host has seen the event", head).await;
    assert_eq!(nats.count().await, 700);
    resume(&pool, RELAY).await.unwrap();
    notify_plugins(&pool).await.unwrap();
    caught_up(&world).await;
    assert_eq!(nats.count().await, 701);
    running.stop().await;
}

#[tokio::test]
async fn shards_keep_the_order_of_each_stream() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    let (store, pool) = (world.store().await, world.db.pool(1).await);
    let running = Running::start(&world, relay(&nats, json!({"batch": 10}))).await;
    let registered =
        "SELECT count(*) FROM eventfabric.projections WHERE projection_name = 'relay:test'";
    world.until_number(registered, 1).await;
    let four = SettingsChange { shards: Some(4), ..SettingsChange::default() };
    change(&pool, RELAY, &four).await.unwrap();
    notify_plugins(&pool).await.unwrap();
    for n in 0..60 {
        append(&store, StreamId::new("A", format!("{}", n % 12)), "Deed", &good(5)).await;
    }
    until("all are there", async || nats.count().await == 300).await;
    let messages = nats.messages().await;
    for n in 0..12 {
        let of_stream = messages.iter().filter(|it| it.headers["Eventfabric-Id"] == n.to_string());
        let versions: Vec<_> = of_stream.map(|it| it.body["version"].as_i64().unwrap()).collect();
        assert_eq!(versions, (1..=25).collect::<Vec<i64>>());
    }
    running.stop().await;
}

/// Loses each batch once, after it was stored: as a host does that is killed then.
struct Forgetful(Box<dyn Sink>, Mutex<HashSet<i64>>);

impl Sink for Forgetful {
    fn put<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            self.0.put(events).await?;
            if self.1.lock().unwrap().insert(events[0].position) {
                return Err(Failure::new(FailureKind::Retry, "killed before the commit"));
            }
            Ok(())
        }
        .boxed()
    }
}

#[tokio::test]
async fn what_was_published_and_not_committed_comes_again_and_is_dropped() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    append(&world.store().await, StreamId::new("A", "1"), "Deed", &good(230)).await;
    let mut config = relay(&nats, json!({"batch": 50}));
    let relay = Arc::into_inner(config.relays.remove(0)).unwrap();
    let sink = Box::new(Forgetful(relay.sink, Mutex::default()));
    config.relays.push(Arc::new(Relay { sink, ..relay }));
    let running = Running::start(&world, config).await;
    caught_up(&world).await;
    let positions: Vec<i64> = nats.messages().await.iter().map(|it| it.position()).collect();
    assert_eq!(positions, (1..=230).collect::<Vec<i64>>());
    running.stop().await;
}

/// Hosts are killed in the middle of their batches, again and again, and others go on.
#[tokio::test]
async fn hosts_that_are_killed_publish_nothing_twice_and_lose_nothing() {
    let Some(nats) = Nats::start().await else { return };
    let world = World::new().await;
    let store = world.store().await;
    for n in 0..20 {
        append(&store, StreamId::new("A", format!("{n}")), "Deed", &good(500)).await;
    }
    let url = nats.url();
    let settings: &[(&str, &str)] = &[
        ("EVENTFABRIC_RELAY__TEST__URL", &url),
        ("EVENTFABRIC_RELAY__TEST__STREAM", "EVENTS"),
        ("EVENTFABRIC_RELAY__TEST__CREATE", "true"),
        ("EVENTFABRIC_RELAY__TEST__BATCH", "5"),
    ];
    let mut hosts: Vec<_> = (0..2).map(|_| Process::host(&world, None, settings)).collect();
    let mut seen = 0;
    for round in 0..4 {
        until("more is published", async || nats.count().await > seen).await;
        hosts[round % 2].signal("KILL");
        hosts[round % 2] = Process::host(&world, None, settings);
        seen = nats.count().await;
    }
    assert!(seen < 10_000, "they were killed in the middle of it");
    caught_up(&world).await;
    let messages = nats.messages().await;
    let ids: HashSet<Value> = messages.iter().map(|it| it.body["event_id"].clone()).collect();
    assert_eq!((messages.len(), ids.len()), (10_000, 10_000));
    assert!(messages.windows(2).all(|pair| pair[0].position() < pair[1].position()));
}
