//! The log that projections catch up with: the week of flights of `tests/data`, over and over, each
//! time with other aircraft.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::place::Database;

#[derive(Deserialize)]
struct Line {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    occurred_at: chrono::DateTime<chrono::Utc>,
    payload: Box<RawValue>,
}

/// Appends to the log until it has this many events. (In one statement, as no measurement is about it.)
pub async fn fill(db: &Database, events: i64) -> anyhow::Result<()> {
    let have = db.number("SELECT count(*) FROM eventfabric.events").await?;
    let mut tx = db.eyes.begin().await?;
    sqlx::raw_sql(
        "CREATE TEMPORARY TABLE week (
             n bigint, id text, nth int, type text, at timestamptz, payload jsonb) ON COMMIT DROP",
    )
    .execute(&mut *tx)
    .await?;
    let week = read()?;
    let mut versions = HashMap::<&str, i32>::new();
    let nths: Vec<i32> = week
        .iter()
        .map(|line| {
            let nth = versions.entry(&line.id).or_default();
            *nth += 1;
            *nth
        })
        .collect();
    sqlx::query(
        "INSERT INTO week
         SELECT n, id, nth, type, at, payload::jsonb || jsonb_build_object('type', type, 'version', 1)
         FROM unnest($1::text[], $2::int[], $3::text[], $4::timestamptz[], $5::text[])
              WITH ORDINALITY AS w (id, nth, type, at, payload, n)",
    )
    .bind(week.iter().map(|line| line.id.as_str()).collect::<Vec<_>>())
    .bind(nths)
    .bind(week.iter().map(|line| line.event_type.as_str()).collect::<Vec<_>>())
    .bind(week.iter().map(|line| line.occurred_at).collect::<Vec<_>>())
    .bind(week.iter().map(|line| line.payload.get()).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO eventfabric.events (event_id, tenant_id, aggregate_name, aggregate_id,
                                         aggregate_version, type, version, payload, occurred_at)
         SELECT gen_random_uuid(), 'default', 'Aircraft', w.id || '-' || r, w.nth, w.type, 1,
                w.payload, w.at
         FROM generate_series(0, $2 / $3) AS r CROSS JOIN week w
         WHERE r * $3 + w.n > $1 AND r * $3 + w.n <= $2
         ORDER BY r, w.n",
    )
    .bind(have)
    .bind(events)
    .bind(week.len() as i64)
    .execute(&mut *tx)
    .await?;
    sqlx::raw_sql(
        "INSERT INTO eventfabric.stream_versions
                (tenant_id, aggregate_name, aggregate_id, current_version)
         SELECT tenant_id, aggregate_name, aggregate_id, max(aggregate_version)
         FROM eventfabric.events GROUP BY 1, 2, 3
         ON CONFLICT (tenant_id, aggregate_name, aggregate_id)
         DO UPDATE SET current_version = EXCLUDED.current_version",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    for table in ["events", "stream_versions"] {
        db.execute(&format!("VACUUM ANALYZE eventfabric.{table}")).await?;
    }
    db.execute("CHECKPOINT").await
}

fn read() -> anyhow::Result<Vec<Line>> {
    let lines = lines(usize::MAX)?;
    lines.iter().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The first lines of the week, as they are.
pub fn lines(most: usize) -> anyhow::Result<Vec<String>> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/flights-2013-01-week1.ndjson.gz");
    let file = std::fs::File::open(&path).with_context(|| path.display().to_string())?;
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    Ok(lines.take(most).collect::<Result<_, _>>()?)
}
