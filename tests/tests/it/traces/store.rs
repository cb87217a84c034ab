//! What is stored of traces, whether anybody records them or not.

use std::sync::Arc;
use std::time::Duration;

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::runner::Host;
use eventfabric::sandbox::Grant;
use eventfabric::store::{Append, add_traces, forget_traces};
use eventfabric::trace::TraceContext;
use serde_json::json;

use super::super::runners::rig::{Running, World, deploy_guest, quick};
use super::super::store::{all, event, events};
use super::{STORED, TRACES, traceparent};

fn of_trace(trace: &str, event: NewEvent) -> NewEvent {
    let context = TraceContext::parse(&traceparent(trace, false), Some("vendor=x")).unwrap();
    NewEvent { trace: Some(context), ..event }
}

#[tokio::test]
async fn each_event_keeps_the_trace_that_it_was_given() {
    let world = World::new().await;
    for store in [world.store().await, world.store().await.with_group_commit()] {
        world.execute("TRUNCATE eventfabric.event_traces").await;
        let id = uuid::Uuid::now_v7().to_string();
        let (one, many) = (StreamId::new("One", &id), StreamId::new("Many", &id));
        let single = vec![of_trace(TRACES[0], event("Counted", 1))];
        store.append(one.clone(), ExpectedVersion::Any, single).await.unwrap();
        let [first, second, third] = events(3).try_into().unwrap();
        let several = vec![of_trace(TRACES[1], first), second, of_trace(TRACES[0], third)];
        store.append(many.clone(), ExpectedVersion::Any, several).await.unwrap();
        let expected = [TRACES[0], TRACES[1], TRACES[0]].map(|trace| traceparent(trace, false));
        assert_eq!(world.texts(STORED).await, expected);
        let mut read = all(&store, &many).await;
        add_traces(store.pool(), &mut read).await.unwrap();
        let traces: Vec<_> = read.iter().map(|event| event.trace.clone()).collect();
        assert_eq!(traces[0].as_ref().unwrap().trace_id(), TRACES[1]);
        assert_eq!(traces[0].as_ref().unwrap().tracestate().unwrap(), "vendor=x");
        assert_eq!(
            (&traces[1], traces[2].as_ref().unwrap().trace_id().as_str()),
            (&None, TRACES[0])
        );
    }
}

#[tokio::test]
async fn a_group_of_appends_keeps_each_one_s_trace() {
    let world = World::new().await;
    let store = world.store().await.with_group_commit();
    let appends = (0..50).map(|n| {
        let store = store.clone();
        // Every second one.
        let events = match n % 2 {
            0 => vec![of_trace(&format!("{:032x}", n + 1), event("Counted", n))],
            _ => vec![event("Counted", n)],
        };
        async move {
            store
                .append(StreamId::new("Account", n.to_string()), ExpectedVersion::Any, events)
                .await
        }
    });
    for appended in futures::future::join_all(appends).await {
        appended.unwrap();
    }
    let wrong = "SELECT count(*) FROM eventfabric.events e
                 LEFT JOIN eventfabric.event_traces t USING (global_position)
                 WHERE t.traceparent IS DISTINCT FROM
                       CASE WHEN e.aggregate_id::int % 2 = 0
                            THEN '00-' || lpad(to_hex(e.aggregate_id::int + 1), 32, '0') || '-00f067aa0ba902b7-00' END";
    assert_eq!(world.number(wrong).await, 0);
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.event_traces").await, 25);
}

#[tokio::test]
async fn old_traces_are_forgotten_in_steps_and_nothing_else() {
    let world = World::new().await;
    let store = world.store().await;
    for n in 0..25 {
        let traced = events(100).into_iter().map(|event| of_trace(TRACES[0], event)).collect();
        let stream = StreamId::new("Account", format!("{n}"));
        store.append(stream, ExpectedVersion::Any, traced).await.unwrap();
    }
    world
        .execute(
            "UPDATE eventfabric.event_traces SET stored_at = now() - interval '31 days'
             WHERE global_position <= 2200",
        )
        .await;
    let mut other = world.eyes.begin().await.unwrap();
    sqlx::query("SELECT FROM eventfabric.event_traces WHERE global_position = 7 FOR UPDATE")
        .execute(&mut *other)
        .await
        .unwrap();
    let mut config = quick();
    config.runner.traces.every = Duration::from_millis(20);
    let running = Running::start(&world, config).await;
    // Who has one in hand is not waited for.
    let left = "SELECT count(*) FROM eventfabric.event_traces";
    world.until_number(left, 301).await;
    other.rollback().await.unwrap();
    world.until_number(left, 300).await;
    running.stop().await;
    let newest = "SELECT min(global_position) FROM eventfabric.event_traces";
    assert_eq!(world.number(newest).await, 2201);
    // Longer than there are times in the server.
    let forgotten = forget_traces(&world.eyes, 0, Duration::MAX, 1000).await.unwrap();
    assert_eq!(forgotten, None);
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.events").await, 2500);
}

#[tokio::test]
async fn what_is_refused_stores_no_trace() {
    let world = World::new().await;
    let store = world.store().await;
    let stream = StreamId::new("Account", "1");
    let refused = vec![of_trace(TRACES[0], event("Counted", 1))];
    store.append(stream, ExpectedVersion::StreamExists, refused).await.unwrap_err();
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.event_traces").await, 0);
}

#[tokio::test]
async fn an_answer_is_in_the_trace_of_its_cause() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    grant(&running.host, "answering_catchup").await;
    deploy_guest(&running.host, "answering_catchup").await;
    let steps = json!({"steps": [{"append": {"aggregate": "Answers", "id": "x"}}]});
    for trace in TRACES {
        let cause = of_trace(trace, NewEvent::new("Ask", &steps).unwrap());
        let append = Append {
            stream: StreamId::new("Ask", "1"),
            expected: ExpectedVersion::Any,
            topic: None,
            events: vec![cause],
        };
        running.host.store().append_all(vec![append]).await.unwrap();
    }
    world
        .until_number("SELECT count(*) FROM eventfabric.events WHERE causation_id IS NOT NULL", 2)
        .await;
    let same = "SELECT count(*) FROM eventfabric.events a
                JOIN eventfabric.events c ON c.event_id::text = a.causation_id
                JOIN eventfabric.event_traces ta ON ta.global_position = a.global_position
                JOIN eventfabric.event_traces tc ON tc.global_position = c.global_position
                WHERE ta.traceparent = tc.traceparent AND ta.tracestate = 'vendor=x'";
    assert_eq!(world.number(same).await, 2);
    running.stop().await;
}

async fn grant(host: &Arc<Host>, plugin: &str) {
    let add: Vec<Grant> = vec!["append:Answers".parse().unwrap()];
    host.registry().sandbox().change_grants(plugin, &add, &[], None).await.unwrap();
}
