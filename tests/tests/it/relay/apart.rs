//! What a relay takes of the host, and of other hosts; its other side is made up here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eventfabric::event::{Event, StreamId};
use eventfabric::projection::{Failure, FailureKind};
use eventfabric::runner::{HostConfig, Relay, Sink};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::{RELAY, caught_up};
use crate::runners::rig::{Running, World, append, deploy_guest, good, quick, until};

/// A system that does not answer, until it is let.
#[derive(Clone, Default)]
struct Silent {
    asked: Arc<AtomicUsize>,
    answers: CancellationToken,
}

impl Sink for Silent {
    fn put<'a>(&'a self, _: &'a [Event]) -> BoxFuture<'a, Result<(), Failure>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.answers.cancelled().map(Ok).boxed()
    }
}

fn relay_to(name: &str, types: &[&str], sink: Box<dyn Sink>) -> Arc<Relay> {
    Arc::new(Relay {
        name: Relay::projection(name),
        text: "relays events to a test".to_owned(),
        form: "as they are".to_owned(),
        types: types.iter().map(|one| (*one).to_owned()).collect(),
        aggregates: Vec::new(),
        batch: 100,
        time: Duration::from_secs(600),
        sink,
    })
}

#[tokio::test]
async fn a_system_that_does_not_answer_takes_no_connection_of_the_host() {
    let world = World::new().await;
    append(&world.store().await, StreamId::new("A", "1"), "Deed", &good(3)).await;
    let silent = Silent::default();
    let names: Vec<String> = (0..8).map(|n| format!("r{n}")).collect();
    let relays = names.iter().map(|name| relay_to(name, &[], Box::new(silent.clone()))).collect();
    let config = HostConfig { relays, max_connections: 5, ..quick() };
    let running = Running::start(&world, config).await;
    until("more are waited for than there are connections", async || {
        silent.asked.load(Ordering::SeqCst) == names.len()
    })
    .await;
    let held = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    world.until_number(held, 0).await;
    // All else goes on.
    deploy_guest(&running.host, "hostile_catchup").await;
    append(running.host.store(), StreamId::new("A", "1"), "Deed", &good(3)).await;
    let end = "SELECT count(*) FROM eventfabric.projection_checkpoints
               WHERE projection_name = 'hostile_catchup' AND last_global_position = 6";
    world.until_number(end, 1).await;
    let relayed = "SELECT count(*) FROM eventfabric.projection_checkpoints
                   WHERE projection_name LIKE 'relay:%' AND last_global_position = 6";
    assert_eq!(world.number(relayed).await, 0);
    silent.answers.cancel();
    world.until_number(relayed, 8).await;
    running.stop().await;
}

/// Each host would do an eighth of the work, if all of them could.
#[tokio::test]
async fn a_relay_of_rare_events_comes_to_the_end_beside_hosts_without_its_settings() {
    let world = World::new().await;
    let store = world.store().await;
    let silent = Silent::default();
    silent.answers.cancel();
    let mut others = Vec::new();
    for _ in 0..7 {
        others.push(Running::start(&world, quick()).await);
    }
    let relays = vec![relay_to("test", &["Rare"], Box::new(silent.clone()))];
    let running = Running::start(&world, HostConfig { relays, ..quick() }).await;
    let registered =
        format!("SELECT count(*) FROM eventfabric.projections WHERE projection_name = '{RELAY}'");
    world.until_number(&registered, 1).await;
    for event_type in ["Rare", "Deed", "Deed"] {
        for tenant in 0..8 {
            let stream = StreamId { tenant: format!("t{tenant}"), ..StreamId::new("A", "1") };
            append(&store, stream, event_type, &good(1)).await;
        }
        caught_up(&world).await;
    }
    assert!(silent.asked.load(Ordering::SeqCst) >= 8);
    running.stop().await;
    for other in others {
        other.stop().await;
    }
}

/// A system that answers what it is told to, and says what it was asked for.
struct Told {
    asked: mpsc::UnboundedSender<Vec<i64>>,
    answers: Mutex<mpsc::UnboundedReceiver<Result<(), Failure>>>,
}

impl Sink for Told {
    fn put<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Failure>> {
        self.asked.send(events.iter().map(|event| event.position).collect()).unwrap();
        async move { self.answers.lock().await.recv().await.unwrap() }.boxed()
    }
}

/// What another host has done meanwhile is neither done again nor undone, and a failure at it stops nothing.
#[tokio::test]
async fn a_batch_that_another_host_has_passed_is_left_to_it_whether_it_went_well_or_failed() {
    let world = World::new().await;
    let (asked, mut asks) = mpsc::unbounded_channel();
    let (answer, answers) = mpsc::unbounded_channel();
    let relay = relay_to("told", &[], Box::new(Told { asked, answers: Mutex::new(answers) }));
    let mut config = HostConfig { relays: vec![relay], ..quick() };
    (config.runner.catch_up.stop_after, config.runner.catch_up.max_attempts) = (1, 1);
    let running = Running::start(&world, config).await;
    let store = running.host.store();
    let stream = || StreamId::new("A", "1");
    let poison = || Failure::new(FailureKind::Poison, "it never takes this");
    // The other host's checkpoint, and what comes after it.
    let passes = async |position: i64| {
        world
            .execute(&format!(
                "UPDATE eventfabric.projection_checkpoints SET last_global_position = {position}
                 WHERE projection_name = 'relay:told'"
            ))
            .await;
        append(store, stream(), "Deed", &good(1)).await;
    };

    append(store, stream(), "Deed", &good(1)).await;
    assert_eq!(asks.recv().await.unwrap(), [1]);
    passes(1).await;
    answer.send(Ok(())).unwrap();
    assert_eq!(asks.recv().await.unwrap(), [2]);
    passes(2).await;
    answer.send(Err(poison())).unwrap();
    assert_eq!(asks.recv().await.unwrap(), [3], "it runs on");
    answer.send(Ok(())).unwrap();
    let end = "SELECT count(*) FROM eventfabric.projection_checkpoints
               WHERE projection_name = 'relay:told' AND last_global_position = 3";
    world.until_number(end, 1).await;

    append(store, stream(), "Deed", &good(1)).await;
    assert_eq!(asks.recv().await.unwrap(), [4]);
    answer.send(Err(poison())).unwrap();
    let stopped = "SELECT count(*) FROM eventfabric.projections
                   WHERE projection_name = 'relay:told' AND state = 'failed'";
    world.until_number(stopped, 1).await;
    running.stop().await;
}
