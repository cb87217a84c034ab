//! What the server itself can do: a read model in one statement over the whole log.

use std::time::Instant;

use sqlx::AssertSqlSafe;

use crate::native;
use crate::place::Database;

const CARRIERS: &str = "
    SELECT payload ->> 'carrier' AS carrier,
           count(*) FILTER (WHERE type = 'FlightDeparted') AS departed,
           count(*) FILTER (WHERE type = 'FlightArrived') AS arrived,
           count(*) FILTER (WHERE type = 'FlightDiverted') AS diverted,
           count(*) FILTER (WHERE type = 'FlightCancelled') AS cancelled,
           coalesce(sum((payload ->> 'arr_delay')::bigint), 0)::bigint AS arr_delay_minutes
    FROM eventfabric.events GROUP BY 1";

/// An aircraft's last airport before an event, and whether it is another one than it takes off from.
const AIRCRAFT: &str = "
    SELECT aircraft, coalesce(max(airport) FILTER (WHERE place = last_place), '') AS last_airport,
           count(*) FILTER (WHERE leg) AS legs,
           count(*) FILTER (WHERE leg AND before <> airport) AS ferried,
           coalesce(sum(air_time), 0)::bigint AS air_minutes
    FROM (SELECT *, max(place) OVER (PARTITION BY aircraft) AS last_place,
                 CASE WHEN place > 1
                      THEN lag(airport) OVER (PARTITION BY aircraft ORDER BY known DESC, version)
                 END AS before
          FROM (SELECT *, CASE WHEN known
                               THEN row_number() OVER (PARTITION BY aircraft, known ORDER BY version)
                          END AS place
                FROM (SELECT aggregate_id AS aircraft, aggregate_version AS version,
                             type IN ('FlightDeparted', 'FlightArrived') AS known,
                             type = 'FlightDeparted' AS leg,
                             CASE type WHEN 'FlightDeparted' THEN payload ->> 'origin'
                                       WHEN 'FlightArrived' THEN payload ->> 'dest' END AS airport,
                             CASE type WHEN 'FlightArrived'
                                       THEN (payload ->> 'air_time')::bigint END AS air_time
                      FROM eventfabric.events) e) e) e
    GROUP BY aircraft";

/// The read model as a query.
pub fn wanted(model: &str) -> String {
    format!("({})", if model == "carriers" { CARRIERS } else { AIRCRAFT })
}

/// Events a second of the one statement.
pub async fn run(db: &Database, model: &str, events: i64) -> anyhow::Result<f64> {
    let sql = format!("INSERT INTO {}.{model} {}", native::SCHEMA, wanted(model));
    let start = Instant::now();
    sqlx::query(AssertSqlSafe(sql)).execute(&db.eyes).await?;
    Ok(events as f64 / start.elapsed().as_secs_f64())
}
