//! Those who append: by the library, and by plain SQL as another program would.

use std::collections::HashSet;
use std::time::Duration;

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{EventStore, StoreError};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::json;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::stores::Stores;

/// Few streams, so that the writers meet.
const STREAMS: u32 = 40;
const TENANTS: [&str; 2] = ["default", "acme"];

/// What the writers know of their events.
#[derive(Default)]
pub struct Ledger {
    /// The store said that these are in the log.
    pub written: HashSet<Uuid>,
    /// The store said that these are not, or they were rolled back.
    pub refused: HashSet<Uuid>,
    /// The answer was lost.
    pub unknown: HashSet<Uuid>,
}

impl Ledger {
    /// Takes over what another one holds.
    pub fn add(&mut self, other: Self) {
        self.written.extend(other.written);
        self.refused.extend(other.refused);
        self.unknown.extend(other.unknown);
    }

    /// In words.
    pub fn summary(&self) -> String {
        format!(
            "{} events written, {} refused or rolled back, {} of unknown fate",
            self.written.len(),
            self.refused.len(),
            self.unknown.len()
        )
    }
}

/// One writer, until it is told to stop.
pub async fn write(
    stores: Stores,
    mut chance: StdRng,
    number: usize,
    stop: CancellationToken,
) -> anyhow::Result<Ledger> {
    let mut ledger = Ledger::default();
    let (store, plain) = (stores.of(number), &stores.plain);
    while !stop.is_cancelled() {
        let stream = some_stream(&mut chance);
        let by_library = chance.random_bool(0.7);
        let events = some_events(&mut chance, by_library);
        let ids: Vec<Uuid> = events.iter().filter_map(|event| event.id).collect();
        let fate = if by_library {
            append(&store, &mut chance, stream, events, &stop).await
        } else {
            let slow = chance.random_bool(0.25);
            let hold = if slow { chance.random_range(50..4_000) } else { 0 };
            by_sql(plain, &mut chance, stream, events, Duration::from_millis(hold)).await
        };
        match fate {
            Fate::Written => ledger.written.extend(ids),
            Fate::Refused => ledger.refused.extend(ids),
            Fate::Unknown => ledger.unknown.extend(ids),
        }
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..60))).await;
    }
    Ok(ledger)
}

enum Fate {
    Written,
    Refused,
    Unknown,
}

fn some_stream(chance: &mut StdRng) -> StreamId {
    let id = chance.random_range(0..STREAMS).to_string();
    StreamId::new("Torture", id).in_tenant(TENANTS[chance.random_range(0..TENANTS.len())])
}

fn some_events(chance: &mut StdRng, by_library: bool) -> Vec<NewEvent> {
    let count = if chance.random_bool(0.1) { chance.random_range(1..60) } else { 1 };
    let mut one = |_| {
        let fate = match chance.random_range(0..1_000) {
            0..3 => "poison",
            3..5 => "trap",
            5..8 if by_library => "inline poison",
            8..10 if by_library => "inline trap",
            _ => "",
        };
        let by = if by_library { "library" } else { "sql" };
        let payload = json!({"type": "Deed", "version": 1, "fate": fate, "by": by});
        let mut event = NewEvent::new("Deed", &payload).expect("an object is JSON");
        event.id = Some(Uuid::from_u128(chance.random()));
        event
    };
    (0..count).map(&mut one).collect()
}

/// An append that is made again with the same ids until its fate is known.
async fn append(
    store: &EventStore,
    chance: &mut StdRng,
    stream: StreamId,
    events: Vec<NewEvent>,
    stop: &CancellationToken,
) -> Fate {
    let expected = match chance.random_range(0..10) {
        0 => ExpectedVersion::Exact(chance.random_range(1..200)),
        1 => ExpectedVersion::NoStream,
        _ => ExpectedVersion::Any,
    };
    let mut unknown = false;
    loop {
        match store.append(stream.clone(), expected, events.clone()).await {
            Ok(_) => return Fate::Written,
            Err(StoreError::Conflict { .. }) => return Fate::Refused,
            // An inline plugin is asked only when the events are not in the log yet.
            Err(StoreError::Inline(failure)) if !failure.retryable => return Fate::Refused,
            Err(_) if stop.is_cancelled() && unknown => return Fate::Unknown,
            Err(_) => unknown = true,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// As the TypeScript library appends: guard, events, outbox; and perhaps a long time before the end.
async fn by_sql(
    pool: &PgPool,
    chance: &mut StdRng,
    stream: StreamId,
    events: Vec<NewEvent>,
    hold: Duration,
) -> Fate {
    let commit = chance.random_bool(0.8);
    match in_transaction(pool, &stream, &events, hold, commit).await {
        Ok(true) => Fate::Written,
        Ok(false) => Fate::Refused,
        Err(Unfinished::Before) => Fate::Refused,
        Err(Unfinished::AtCommit) => Fate::Unknown,
    }
}

enum Unfinished {
    /// Nothing was asked to be committed.
    Before,
    AtCommit,
}

async fn in_transaction(
    pool: &PgPool,
    stream: &StreamId,
    events: &[NewEvent],
    hold: Duration,
    commit: bool,
) -> Result<bool, Unfinished> {
    let before = |_| Unfinished::Before;
    let mut tx = pool.begin().await.map_err(before)?;
    let last: i32 = sqlx::query_scalar(
        "INSERT INTO eventfabric.stream_versions AS v
                (tenant_id, aggregate_name, aggregate_id, current_version)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id, aggregate_name, aggregate_id) DO UPDATE
         SET current_version = v.current_version + $4, updated_at = now()
         RETURNING current_version",
    )
    .bind(&stream.tenant)
    .bind(&stream.aggregate)
    .bind(&stream.id)
    .bind(events.len() as i32)
    .fetch_one(&mut *tx)
    .await
    .map_err(before)?;
    for (version, event) in (last - events.len() as i32 + 1..).zip(events) {
        let position: i64 = sqlx::query_scalar(
            "INSERT INTO eventfabric.events (event_id, tenant_id, aggregate_name, aggregate_id,
                                             aggregate_version, type, version, payload)
             VALUES ($1, $2, $3, $4, $5, $6, 1, $7::jsonb) RETURNING global_position",
        )
        .bind(event.id)
        .bind(&stream.tenant)
        .bind(&stream.aggregate)
        .bind(&stream.id)
        .bind(version)
        .bind(&event.event_type)
        .bind(event.payload.get())
        .fetch_one(&mut *tx)
        .await
        .map_err(before)?;
        sqlx::query("INSERT INTO eventfabric.outbox (global_position, tenant_id) VALUES ($1, $2)")
            .bind(position)
            .bind(&stream.tenant)
            .execute(&mut *tx)
            .await
            .map_err(before)?;
    }
    tokio::time::sleep(hold).await;
    if !commit {
        let _ = tx.rollback().await;
        return Ok(false);
    }
    tx.commit().await.map(|()| true).map_err(|_| Unfinished::AtCommit)
}
