//! One round: events are appended beside a host that delivers them, until nothing is left to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::runner::Host;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::POISON;

const WRITERS: usize = 4;
const EVENTS_OF_AN_APPEND: i64 = 10;
const STREAMS: i64 = 200;
/// Writers wait while more rows than this are in the outbox, so that the queue is as long in every
/// round.
const QUEUE: i64 = 5000;
/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(50);

/// Appends the events from the `first` one, and stops the host once all are delivered.
pub async fn deliver(host: Host, eyes: &PgPool, first: i64, events: i64) -> anyhow::Result<()> {
    let (host, stop) = (Arc::new(host), CancellationToken::new());
    let (running, token) = (host.clone(), stop.clone());
    let run = tokio::spawn(async move { running.run(None, token).await });

    let next = Arc::new(AtomicI64::new(first));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (store, next, eyes) = (host.store().clone(), next.clone(), eyes.clone());
        writers.spawn(async move {
            loop {
                let from = next.fetch_add(EVENTS_OF_AN_APPEND, Ordering::Relaxed);
                let to = (from + EVENTS_OF_AN_APPEND).min(first + events);
                if from >= to {
                    return anyhow::Ok(());
                }
                let stream =
                    StreamId::new("Soak", (from / EVENTS_OF_AN_APPEND % STREAMS).to_string());
                let new = (from..to).map(event).collect::<Result<Vec<_>, _>>()?;
                store.append(stream, ExpectedVersion::Any, new).await?;
                if from / EVENTS_OF_AN_APPEND % 50 == 0 {
                    until(&eyes, DEPTH, |depth| depth <= QUEUE).await?;
                }
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written.context("a writer")??;
    }
    until(eyes, LEFT, |left| left == 0).await?;
    stop.cancel();
    run.await.context("the host")??;
    host.close().await;
    Ok(())
}

fn event(n: i64) -> anyhow::Result<NewEvent> {
    let fate = if n % POISON == POISON - 1 { "poison" } else { "" };
    Ok(NewEvent::new("Soaked", &serde_json::json!({ "fate": fate, "n": n }))?)
}

const DEPTH: &str = "SELECT count(*) FROM eventfabric.outbox";

/// Rows of the outbox, retries, and the events that the catch-up projection has not had.
const LEFT: &str = "
SELECT (SELECT count(*) FROM eventfabric.outbox)
     + (SELECT count(*) FROM eventfabric.projection_retries)
     + (SELECT count(*) FROM eventfabric.projection_parked)
     + (SELECT count(*) FROM eventfabric.events
        WHERE global_position > (SELECT coalesce(min(last_global_position), 0)
                                 FROM eventfabric.projection_checkpoints))";

async fn until(eyes: &PgPool, sql: &'static str, holds: impl Fn(i64) -> bool) -> sqlx::Result<()> {
    while !holds(sqlx::query_scalar(sql).fetch_one(eyes).await?) {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
