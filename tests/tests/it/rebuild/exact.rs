//! What the new tables hold when they take their place is what the old ones held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::plugin::{SettingsChange, change, resume};
use eventfabric::projection::TopicFilter;
use eventfabric::runner::{
    AsyncConfig, Host, HostConfig, RebuildOptions, RebuildProgress, RunnerConfig, rebuild,
};
use eventfabric::store::{Append, LetterFilter, notify_events, requeue};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::super::runners::rig::{Running, World, append, curable, cure, deploy_guest, quick};
use super::{assert_all_seen, assert_tidy, deeds, ok, options, run, table, until_seen};

/// Between the events of a writer.
const PACE: Duration = Duration::from_millis(150);

/// Appends events until it is told to stop. Answers how many.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<i64>,
}

impl Writer {
    fn start(host: Arc<Host>, tenant: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let task = tokio::spawn(async move {
            // Not faster than a debug build can handle.
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut n = 0;
            while !told.load(Ordering::Relaxed) {
                let stream = StreamId::new("Deeds", (n % 5).to_string()).in_tenant(tenant);
                append(host.store(), stream, "Deed", &[ok()]).await;
                n += 1;
                pace.tick().await;
            }
            n
        });
        Self { stop, task }
    }

    async fn stop(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// Rebuilds a hostile guest twice while events are appended, and compares.
async fn rebuilt_while_events_come(name: &str) {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, name).await;
    deeds(running.host.store(), "default", 6, ok()).await;
    let before = table(&world, &format!("{name}.seen")).await;
    let (one, two) =
        (Writer::start(running.host.clone(), "default"), Writer::start(running.host.clone(), "b"));
    let options = RebuildOptions { batch: 100, ..options() };
    let rebuilt = run(&running.host, name, &options).await.unwrap();
    assert!(rebuilt.events >= 1 && !rebuilt.resumed);
    let between = table(&world, &format!("{name}.seen")).await;
    assert_ne!(between, before);
    run(&running.host, name, &options).await.unwrap();
    assert_ne!(table(&world, &format!("{name}.seen")).await, between);
    // No append has failed, and those after a rebuild reach the new tables.
    assert!(one.stop().await > 0 && two.stop().await > 0);
    deeds(running.host.store(), "c", 1, ok()).await;
    assert_all_seen(&world, name).await;
    assert_tidy(&world, name).await;
    running.stop().await;
}

#[tokio::test]
async fn a_catch_up_projection_is_rebuilt_while_events_come() {
    rebuilt_while_events_come("hostile_catchup").await;
}

#[tokio::test]
async fn an_async_projection_is_rebuilt_while_events_come() {
    rebuilt_while_events_come("hostile_async").await;
}

#[tokio::test]
async fn an_inline_projection_is_rebuilt_while_events_come() {
    rebuilt_while_events_come("hostile_inline").await;
}

#[tokio::test]
async fn what_another_tenant_has_not_come_to_is_not_in_the_new_tables() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let store = running.host.store();
    deeds(store, "b", 2, ok()).await;
    append(store, StreamId::new("Deeds", "1").in_tenant("b"), "Deed", &[curable()]).await;
    deeds(store, "b", 2, ok()).await;
    deeds(store, "default", 5, ok()).await;
    until_seen(&world, "hostile_catchup", 14 + 35).await;
    world.stopped("hostile_catchup").await;
    run(&running.host, "hostile_catchup", &options()).await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM hostile_catchup.seen").await, 14 + 35);
    // It goes on there, with its new tables.
    cure(&world, "hostile_catchup").await;
    resume(store.pool(), "hostile_catchup").await.unwrap();
    until_seen(&world, "hostile_catchup", 14 + 1 + 14 + 35 + 1).await;
    running.stop().await;
}

#[tokio::test]
async fn retries_and_dead_letters_are_left_to_those_who_handle_them() {
    let world = World::new().await;
    // What fails stays among the retries.
    let patient = AsyncConfig { max_attempts: 1_000_000, ..quick().runner.r#async };
    let config =
        HostConfig { runner: RunnerConfig { r#async: patient, ..quick().runner }, ..quick() };
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "hostile_async").await;
    let store = running.host.store();
    let curables = vec![curable(); 12];
    deeds(store, "default", 2, ok()).await;
    let failed = append(store, StreamId::new("Deeds", "1"), "Deed", &curables).await;
    deeds(store, "default", 2, ok()).await;
    until_seen(&world, "hostile_async", 28).await;
    world.until_number("SELECT count(*) FROM eventfabric.projection_retries", 12).await;
    // Some of them are given up.
    let given_up = failed[..4].iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    world
        .execute(&format!(
            "WITH gone AS (DELETE FROM eventfabric.projection_retries
                           WHERE global_position IN ({given_up}) RETURNING *)
             INSERT INTO eventfabric.outbox_dead_letters
                    (outbox_id, global_position, attempts, projection_name)
             SELECT outbox_id, global_position, attempts, projection_name FROM gone"
        ))
        .await;
    run(&running.host, "hostile_async", &options()).await.unwrap();
    let in_tables = "SELECT count(*) FROM hostile_async.seen";
    assert_eq!(world.number(in_tables).await, 28);
    cure(&world, "hostile_async").await;
    until_seen(&world, "hostile_async", 28 + 8 + 1).await;
    let filter = LetterFilter { projection: Some("hostile_async"), ..LetterFilter::default() };
    assert_eq!(requeue(store.pool(), &filter).await.unwrap(), 4);
    notify_events(store.pool()).await.unwrap();
    until_seen(&world, "hostile_async", 28 + 12 + 1).await;
    world.execute("DELETE FROM hostile_async.seen WHERE position = -7").await;
    assert_all_seen(&world, "hostile_async").await;
    running.stop().await;
}

#[tokio::test]
async fn events_that_were_passed_and_are_delivered_later_are_made_up_for() {
    let world = World::new().await;
    let host = Arc::new(Host::open(world.db.options(), quick(), None).await.unwrap());
    deploy_guest(&host, "hostile_async").await;
    deeds(host.store(), "default", 3, ok()).await;
    // As a delivery that is on its way: the tables can't change places.
    let mut delivery = world.eyes.begin().await.unwrap();
    let lock = "LOCK TABLE eventfabric.outbox IN ROW SHARE MODE";
    sqlx::query(lock).execute(&mut *delivery).await.unwrap();
    let progress = watch::Sender::new(RebuildProgress::default());
    let (options, stop) = (options(), CancellationToken::new());
    let rebuilding = rebuild(host.registry(), "hostile_async", &options, &progress, &stop);
    tokio::pin!(rebuilding);
    let mut watching = progress.subscribe();
    tokio::select! {
        done = &mut rebuilding => panic!("{done:?}"),
        _ = watching.wait_for(|progress| progress.replacing) => {}
    }
    assert_eq!(progress.borrow().events, 0);
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.projection_rebuild_open").await, 21);
    let running = Running::run(host.clone());
    until_seen(&world, "hostile_async", 21).await;
    delivery.rollback().await.unwrap();
    assert_eq!(rebuilding.await.unwrap().events, 21);
    assert_all_seen(&world, "hostile_async").await;
    running.stop().await;
}

#[tokio::test]
async fn only_events_with_the_topics_of_the_projection_are_in_the_new_tables() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    let include = TopicFilter::Include(vec!["deeds".to_owned()]);
    let topics = SettingsChange { topics: Some(Some(include)), ..SettingsChange::default() };
    change(running.host.store().pool(), "hostile_async", &topics).await.unwrap();
    let store = running.host.store();
    for (aggregate, topic) in [("Deeds", Some("deeds")), ("Others", None)] {
        let event = NewEvent::new("Deed", &json!({})).unwrap();
        let append = Append {
            topic: topic.map(str::to_owned),
            stream: StreamId::new(aggregate, "1"),
            expected: ExpectedVersion::Any,
            events: vec![event],
        };
        store.append_all(vec![append]).await.unwrap();
    }
    until_seen(&world, "hostile_async", 1).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    let topics = [("Deeds".to_owned(), "deeds".to_owned())].into();
    let options = RebuildOptions { topics, ..options() };
    assert_eq!(run(&running.host, "hostile_async", &options).await.unwrap().events, 1);
    assert_eq!(world.number("SELECT count(*) FROM hostile_async.seen").await, 1);
    running.stop().await;
}
