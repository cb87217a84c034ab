//! How long the load of an aggregate takes, by the length of its stream: from all events, and from a
//! snapshot and the events after it.
//!
//! On one server in one run; compare within the table only. `cargo xtask bench --of-store loads`.

use std::time::{Duration, Instant};

use eventfabric::db;
use eventfabric::session::{Aggregate, DomainEvent, SessionFactory, SnapshotPolicy};
use eventfabric::store::EventStore;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;

const LENGTHS: [u32; 3] = [100, 1_000, 10_000];
/// Events after the snapshot.
const AFTER: u32 = 25;
const ROUNDS: usize = 21;

#[derive(DomainEvent)]
enum CounterEvent {
    Counted { by: i64, note: String },
}

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    count: i64,
    last: String,
}

impl Aggregate for Counter {
    type Event = CounterEvent;
    const NAME: &'static str = "Counter";

    fn apply(&mut self, event: &CounterEvent) {
        let CounterEvent::Counted { by, note } = event;
        self.count += by;
        self.last.clone_from(note);
    }
}

#[tokio::main]
async fn main() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL: `cargo xtask bench` sets it");
    let options: PgConnectOptions = url.parse().expect("DATABASE_URL is a URL of PostgreSQL");
    let store = EventStore::new(db::pool(options, 4));
    let builder = SessionFactory::builder(store.clone());
    let plain = builder.aggregate::<Counter>(|counter| counter).build().expect("it fits");
    let builder = SessionFactory::builder(store);
    let by_hand = |counter: eventfabric::session::AggregateSetup<Counter>| {
        counter.snapshots(SnapshotPolicy::BY_HAND, 1)
    };
    let snapshots = builder.aggregate::<Counter>(by_hand).build().expect("it fits");

    println!("load of one aggregate in ms; median of {ROUNDS}; {AFTER} events after the snapshot");
    println!("events | from all events | from a snapshot | all/snapshot");
    for length in LENGTHS {
        let id = uuid::Uuid::now_v7().to_string();
        count(&snapshots, &id, length - AFTER, true).await;
        count(&snapshots, &id, AFTER, false).await;
        let (mut all, mut short) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            all.push(load(&plain, &id, length).await);
            short.push(load(&snapshots, &id, length).await);
        }
        let (all, short) = (median(all), median(short));
        println!("{length:>6} | {all:>15.2} | {short:>15.2} | {:>12.0}", all / short);
    }
}

/// Adds events to a counter, the last of them with a snapshot or not.
async fn count(factory: &SessionFactory, id: &str, times: u32, snapshot: bool) {
    let mut session = factory.session();
    let counter = session.load_or_start::<Counter>(id).await.expect("loaded");
    for n in 0..times {
        let note = format!("the count of {n}");
        session.raise(counter, CounterEvent::Counted { by: 1, note });
    }
    if snapshot {
        session.snapshot(counter);
    }
    session.save().await.expect("saved");
}

async fn load(factory: &SessionFactory, id: &str, length: u32) -> Duration {
    let start = Instant::now();
    let (counter, version) = factory.repository::<Counter>().load(id).await.expect("loaded");
    let took = start.elapsed();
    assert_eq!((counter.count, version), (i64::from(length), length as i32));
    took
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
