//! Appends a second, by how many callers there are: each in a transaction of its own, by group
//! commit, and beside them the least that a durable write can be, one row into a bare table.
//!
//! All on one server in one run, in turns; compare within the table only. `cargo xtask bench --of-store appends`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eventfabric::db;
use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::EventStore;
use futures::future::join_all;
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

const CALLERS: [usize; 4] = [1, 8, 64, 256];
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);
/// As many as a host has by default.
const CONNECTIONS: u32 = 20;
/// Fewer than a server allows by default.
const MOST_CONNECTIONS: usize = 60;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Row,
    Alone,
    Group,
}

#[tokio::main]
async fn main() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL: `cargo xtask bench` sets it");
    let options: PgConnectOptions = url.parse().expect("DATABASE_URL is a URL of PostgreSQL");
    let pool = db::pool(options.clone(), CONNECTIONS);
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS public.bench_row (id bigserial PRIMARY KEY, n int8)")
        .execute(&pool)
        .await
        .expect("the database takes a table");
    println!("appends of one event to a stream of the caller's own, a second; median of {ROUNDS}");
    println!("callers | one row a commit | append alone | group commit | alone/row | group/alone");
    for callers in CALLERS {
        let mut rates: [Vec<f64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (way, rates) in [Way::Row, Way::Alone, Way::Group].into_iter().zip(&mut rates) {
                rates.push(rate(way, callers, &pool, &options).await);
            }
        }
        let [row, alone, group] = rates.map(median);
        println!(
            "{callers:>7} | {row:>16.0} | {alone:>12.0} | {group:>12.0} | {:>9.2} | {:>11.2}",
            alone / row,
            group / alone
        );
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// How many of these are done in a second.
async fn rate(way: Way, callers: usize, pool: &PgPool, options: &PgConnectOptions) -> f64 {
    let rows = db::pool(options.clone(), callers.min(MOST_CONNECTIONS) as u32);
    let store = EventStore::new(pool.clone());
    let store = if way == Way::Group { store.with_group_commit() } else { store };
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let tasks = (0..callers).map(|_| {
        let (rows, store, stop, done) = (rows.clone(), store.clone(), stop.clone(), done.clone());
        tokio::spawn(async move {
            let stream = StreamId::new("Bench", uuid::Uuid::now_v7().to_string());
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                if way == Way::Row {
                    sqlx::query("INSERT INTO public.bench_row (n) VALUES ($1)")
                        .bind(i64::from(n))
                        .execute(&rows)
                        .await
                        .expect("a row is written");
                } else {
                    let event = NewEvent::new("Measured", &json!({ "n": n })).expect("JSON");
                    let expected = ExpectedVersion::Exact(n);
                    store.append(stream.clone(), expected, vec![event]).await.expect("appended");
                }
                n += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::time::sleep(TIME).await;
    stop.store(true, Ordering::Relaxed);
    for task in join_all(tasks).await {
        task.expect("no caller panics");
    }
    let rate = done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    rows.close().await;
    rate
}
