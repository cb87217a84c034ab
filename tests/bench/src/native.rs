//! The same projections as programs of their own: sqlx, prepared statements, the checkpoint in the
//! transaction of the batch.

use std::collections::BTreeMap;
use std::time::Instant;

use bench_guest::aircraft::{self, Aircraft};
use bench_guest::{Flight, TABLES, carriers};
use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection as _, FromRow, PgConnection};
use uuid::Uuid;

use crate::place::Database;

/// Where the read models are.
pub const SCHEMA: &str = "native";

/// Events in a batch, as many as a host takes by default.
const BATCH: i64 = 500;

/// What a native program writes.
#[derive(Clone, Copy)]
pub enum Way {
    /// An awaited statement an event.
    Carriers,
    /// A call of a function for each event, all of a batch in one statement.
    CarriersBatch,
    /// One statement a batch.
    CarriersMerged,
    /// An awaited statement an event.
    Aircraft,
    /// Two statements a batch.
    AircraftMerged,
}

/// What a host reads of an event.
#[derive(FromRow)]
#[expect(dead_code, reason = "decoded, as a host decodes it")]
struct Event {
    position: i64,
    event_id: Uuid,
    tenant: String,
    aggregate: String,
    aggregate_id: String,
    version: i32,
    event_type: String,
    schema_version: i32,
    payload: String,
    occurred_at: DateTime<Utc>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
}

const READ: &str = "
    SELECT global_position AS position, event_id, tenant_id AS tenant, aggregate_name AS aggregate,
           aggregate_id, aggregate_version AS version, type AS event_type,
           version AS schema_version, payload::text AS payload, occurred_at, correlation_id,
           causation_id
    FROM eventfabric.events
    WHERE global_position > $1 AND type = ANY ($2) AND tenant_id = $3 AND dismissed_at IS NULL
    ORDER BY global_position LIMIT $4";

const TYPES: [&str; 4] = ["FlightDeparted", "FlightArrived", "FlightDiverted", "FlightCancelled"];

const CARRIERS_MERGED: &str = "
    INSERT INTO carriers AS c (carrier, departed, arrived, diverted, cancelled, arr_delay_minutes)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                         $6::bigint[])
    ON CONFLICT (carrier) DO UPDATE SET
        departed = c.departed + EXCLUDED.departed,
        arrived = c.arrived + EXCLUDED.arrived,
        diverted = c.diverted + EXCLUDED.diverted,
        cancelled = c.cancelled + EXCLUDED.cancelled,
        arr_delay_minutes = c.arr_delay_minutes + EXCLUDED.arr_delay_minutes";

const CARRIERS_BATCH: &str = "
    SELECT upsert(u.a, u.b, u.c, u.d, u.e, u.f)
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                $6::bigint[]) AS u (a, b, c, d, e, f)";

/// Makes its schema.
pub async fn install(db: &Database) -> anyhow::Result<()> {
    db.execute(&format!(
        "CREATE SCHEMA {SCHEMA}; SET search_path = {SCHEMA}; {TABLES};
         CREATE TABLE checkpoint (position bigint NOT NULL);
         CREATE FUNCTION upsert(text, bigint, bigint, bigint, bigint, bigint) RETURNS bigint
         BEGIN ATOMIC {} RETURNING 1; END;
         RESET search_path;
         GRANT USAGE ON SCHEMA {SCHEMA} TO public;
         GRANT ALL ON ALL TABLES IN SCHEMA {SCHEMA} TO public",
        carriers::UPSERT
    ))
    .await
}

/// Catches up from the beginning. Events a second.
pub async fn run(db: &Database, way: Way) -> anyhow::Result<f64> {
    db.execute(&format!(
        "TRUNCATE {SCHEMA}.checkpoint; INSERT INTO {SCHEMA}.checkpoint VALUES (0)"
    ))
    .await?;
    let options = db.owner.clone().options([("search_path", SCHEMA)]);
    let mut conn = PgConnection::connect_with(&options).await?;
    let (mut events, start) = (0, Instant::now());
    loop {
        let handled = batch(&mut conn, way).await?;
        if handled == 0 {
            break;
        }
        events += handled;
    }
    let rate = events as f64 / start.elapsed().as_secs_f64();
    conn.close().await?;
    Ok(rate)
}

/// One batch, as a host does it. Answers how many events it had.
async fn batch(conn: &mut PgConnection, way: Way) -> anyhow::Result<usize> {
    let mut tx = conn.begin().await?;
    let position: i64 = sqlx::query_scalar("SELECT position FROM checkpoint FOR UPDATE")
        .fetch_one(&mut *tx)
        .await?;
    let events: Vec<Event> = sqlx::query_as(READ)
        .bind(position)
        .bind(&TYPES[..])
        .bind("default")
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
    let Some(last) = events.last() else { return Ok(0) };
    let flights: Vec<Flight> = events
        .iter()
        .map(|event| serde_json::from_str(&event.payload))
        .collect::<Result<_, _>>()?;
    match way {
        Way::Carriers => each_carrier(&mut tx, &flights).await?,
        Way::CarriersBatch => carriers_batch(&mut tx, &flights).await?,
        Way::CarriersMerged => carriers_merged(&mut tx, &flights).await?,
        Way::Aircraft => each_aircraft(&mut tx, &events, &flights).await?,
        Way::AircraftMerged => aircraft_merged(&mut tx, &events, &flights).await?,
    }
    sqlx::query("UPDATE checkpoint SET position = $1")
        .bind(last.position)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(events.len())
}

async fn each_carrier(conn: &mut PgConnection, flights: &[Flight]) -> sqlx::Result<()> {
    for flight in flights {
        let (carrier, sums) = carriers::one(flight);
        sqlx::query(carriers::UPSERT)
            .bind(carrier)
            .bind(sums.departed)
            .bind(sums.arrived)
            .bind(sums.diverted)
            .bind(sums.cancelled)
            .bind(sums.arr_delay_minutes)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn carriers_batch(conn: &mut PgConnection, flights: &[Flight]) -> sqlx::Result<()> {
    let rows: Vec<(&str, carriers::Sums)> = flights.iter().map(carriers::one).collect();
    let column = |of: fn(&carriers::Sums) -> i64| rows.iter().map(|(_, sums)| of(sums)).collect();
    let [departed, arrived, diverted, cancelled, minutes]: [Vec<i64>; 5] = [
        column(|sums| sums.departed),
        column(|sums| sums.arrived),
        column(|sums| sums.diverted),
        column(|sums| sums.cancelled),
        column(|sums| sums.arr_delay_minutes),
    ];
    sqlx::query_scalar::<_, i64>(CARRIERS_BATCH)
        .bind(rows.iter().map(|(carrier, _)| *carrier).collect::<Vec<_>>())
        .bind(departed)
        .bind(arrived)
        .bind(diverted)
        .bind(cancelled)
        .bind(minutes)
        .fetch_all(conn)
        .await?;
    Ok(())
}

async fn carriers_merged(conn: &mut PgConnection, flights: &[Flight]) -> sqlx::Result<()> {
    let carriers = carriers::sums(flights.iter());
    let column = |of: fn(&carriers::Sums) -> i64| carriers.values().map(of).collect::<Vec<_>>();
    sqlx::query(CARRIERS_MERGED)
        .bind(carriers.keys().copied().collect::<Vec<_>>())
        .bind(column(|sums| sums.departed))
        .bind(column(|sums| sums.arrived))
        .bind(column(|sums| sums.diverted))
        .bind(column(|sums| sums.cancelled))
        .bind(column(|sums| sums.arr_delay_minutes))
        .execute(conn)
        .await
        .map(drop)
}

async fn each_aircraft(
    conn: &mut PgConnection,
    events: &[Event],
    flights: &[Flight],
) -> sqlx::Result<()> {
    for (event, flight) in events.iter().zip(flights) {
        let (airport, legs, air_minutes) = aircraft::leg(flight);
        sqlx::query(aircraft::UPSERT)
            .bind(&event.aggregate_id)
            .bind(airport)
            .bind(legs)
            .bind(air_minutes)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn aircraft_merged(
    conn: &mut PgConnection,
    events: &[Event],
    flights: &[Flight],
) -> sqlx::Result<()> {
    let mut fleet = BTreeMap::<&str, Aircraft>::new();
    for event in events {
        let id = event.aggregate_id.as_str();
        fleet.entry(id).or_insert_with(|| Aircraft::new(id));
    }
    let known: Vec<(String, String, i64, i64, i64)> = sqlx::query_as(AssertSqlSafe(aircraft::LOAD))
        .bind(fleet.keys().copied().collect::<Vec<_>>())
        .fetch_all(&mut *conn)
        .await?;
    for (tail_number, last_airport, legs, ferried, air_minutes) in known {
        if let Some(aircraft) = fleet.get_mut(tail_number.as_str()) {
            *aircraft = Aircraft { tail_number, last_airport, legs, ferried, air_minutes };
        }
    }
    for (event, flight) in events.iter().zip(flights) {
        if let Some(aircraft) = fleet.get_mut(event.aggregate_id.as_str()) {
            aircraft.apply(flight);
        }
    }
    let rows = fleet.values();
    sqlx::query(aircraft::STORE)
        .bind(rows.clone().map(|it| it.tail_number.as_str()).collect::<Vec<_>>())
        .bind(rows.clone().map(|it| it.last_airport.as_str()).collect::<Vec<_>>())
        .bind(rows.clone().map(|it| it.legs).collect::<Vec<_>>())
        .bind(rows.clone().map(|it| it.ferried).collect::<Vec<_>>())
        .bind(rows.map(|it| it.air_minutes).collect::<Vec<_>>())
        .execute(conn)
        .await
        .map(drop)
}
