//! What projections cost, in the database for whoever asks: written by each host now and then, beside all batches,
//! and added up over the hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Cost, Costs, TypeCost};

/// How often what has changed is written.
const EVERY: Duration = Duration::from_secs(10);
/// How long the last time may take, when the host stops.
const LAST: Duration = Duration::from_secs(1);

/// What a projection costs all hosts that run its active version, or have run it within the last hour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectionCost {
    /// The projection.
    pub projection: String,
    /// The SHA-256 of its active version.
    pub version: String,
    /// How many hosts that is.
    pub hosts: u64,
    /// When one of them was heard last; hosts tell every ten seconds what has changed.
    pub noted_at: DateTime<Utc>,
    /// All calls together, since each host began with the version.
    #[serde(flatten)]
    pub cost: Cost,
    /// What an event costs, by type, those first that took most of the time.
    pub types: Vec<TypeCost>,
}

impl Costs {
    /// Writes what has changed since the last time.
    async fn write(&self, pool: &PgPool, host: Uuid) -> sqlx::Result<()> {
        let (mut projections, mut versions, mut types) = (Vec::new(), Vec::new(), Vec::new());
        let (mut costs, mut noted) = (Vec::new(), Vec::new());
        for (name, meter) in self.all() {
            let (cost, kept) = {
                let counted = meter.lock();
                (counted.cost, counted.kept)
            };
            if cost.calls == kept {
                continue;
            }
            projections.push(name);
            versions.push(meter.version.clone());
            types.push(serde_json::to_value(meter.types()).unwrap_or_default());
            costs.push(cost);
            noted.push(meter);
        }
        if noted.is_empty() {
            return Ok(());
        }
        let column = |of: fn(&Cost) -> u64| -> Vec<i64> {
            costs.iter().map(|cost| of(cost).cast_signed()).collect()
        };
        sqlx::query_file!(
            "src/plugin/sql/costs_write.sql",
            host,
            &projections,
            &versions,
            &column(|cost| cost.events),
            &column(|cost| cost.calls),
            &column(|cost| cost.failed_calls),
            &column(|cost| cost.wasm_us),
            &column(|cost| cost.sql_us),
            &column(|cost| cost.statements),
            &column(|cost| cost.rows_read),
            &column(|cost| cost.rows_written),
            &column(|cost| cost.bytes),
            &types,
        )
        .execute(pool)
        .await?;
        for (meter, cost) in noted.iter().zip(&costs) {
            meter.lock().kept = cost.calls;
        }
        Ok(())
    }

    /// Writes what projections cost this host, until cancelled, and once more then.
    pub async fn keep(&self, pool: PgPool, host: Uuid, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
            let most = if stop.is_cancelled() { LAST } else { EVERY };
            match tokio::time::timeout(most, self.write(&pool, host)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "what projections cost was not written"),
                Err(_) => tracing::debug!("what projections cost was not written in time"),
            }
        }
    }
}

/// What the projections cost, or one of them, by name. Those of which nothing is known are left out.
///
/// # Errors
/// The database's.
pub async fn costs(
    executor: impl PgExecutor<'_>,
    projection: Option<&str>,
) -> sqlx::Result<Vec<ProjectionCost>> {
    let rows =
        sqlx::query_file!("src/plugin/sql/costs.sql", projection).fetch_all(executor).await?;
    let mut all: Vec<ProjectionCost> = Vec::new();
    let mut parts: Vec<Vec<TypeCost>> = Vec::new();
    for row in rows {
        let cost = Cost {
            events: row.events.cast_unsigned(),
            calls: row.calls.cast_unsigned(),
            failed_calls: row.failed_calls.cast_unsigned(),
            wasm_us: row.wasm_us.cast_unsigned(),
            sql_us: row.sql_us.cast_unsigned(),
            statements: row.statements.cast_unsigned(),
            rows_read: row.rows_read.cast_unsigned(),
            rows_written: row.rows_written.cast_unsigned(),
            bytes: row.bytes.cast_unsigned(),
        };
        let Json(types) = row.types;
        match all.last_mut().filter(|last| last.projection == row.projection_name) {
            Some(last) => {
                last.hosts += 1;
                last.noted_at = last.noted_at.max(row.noted_at);
                last.cost.add(&cost);
            }
            None => {
                all.push(ProjectionCost {
                    projection: row.projection_name,
                    version: row.version,
                    hosts: 1,
                    noted_at: row.noted_at,
                    cost,
                    types: Vec::new(),
                });
                parts.push(Vec::new());
            }
        }
        parts.last_mut().expect("one each").extend(types);
    }
    for (one, parts) in all.iter_mut().zip(parts) {
        one.types = together(parts);
    }
    Ok(all)
}

/// What several hosts have found, each as far as it has handled events of the type.
fn together(parts: Vec<TypeCost>) -> Vec<TypeCost> {
    let mut by_type: BTreeMap<String, Vec<TypeCost>> = BTreeMap::new();
    for part in parts {
        by_type.entry(part.event_type.clone()).or_default().push(part);
    }
    let mut all: Vec<TypeCost> =
        by_type.into_iter().map(|(name, parts)| one(name, &parts)).collect();
    let took = |one: &TypeCost| (one.wasm_us + one.sql_us) * one.events as f64;
    all.sort_by(|a, b| took(b).total_cmp(&took(a)));
    all
}

fn one(event_type: String, parts: &[TypeCost]) -> TypeCost {
    let events: u64 = parts.iter().map(|part| part.events).sum();
    let share = |part: &TypeCost| part.events as f64 / events.max(1) as f64;
    let each = |of: fn(&TypeCost) -> f64| parts.iter().map(|part| share(part) * of(part)).sum();
    let margin = |of: fn(&TypeCost) -> f64| {
        parts.iter().map(|part| (share(part) * of(part)).powi(2)).sum::<f64>().sqrt()
    };
    TypeCost {
        event_type,
        events,
        exact: parts.iter().all(|part| part.exact),
        wasm_us: each(|part| part.wasm_us),
        wasm_margin_us: margin(|part| part.wasm_margin_us),
        sql_us: each(|part| part.sql_us),
        sql_margin_us: margin(|part| part.sql_margin_us),
        statements: each(|part| part.statements),
        rows_read: each(|part| part.rows_read),
        rows_written: each(|part| part.rows_written),
        bytes: each(|part| part.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_count_as_far_as_they_have_handled_events() {
        let part = |name: &str, events, wasm_us, wasm_margin_us, exact| TypeCost {
            event_type: name.to_owned(),
            events,
            wasm_us,
            wasm_margin_us,
            exact,
            ..TypeCost::default()
        };
        let all = together(vec![
            part("Cheap", 100, 1.0, 0.0, true),
            part("Dear", 30, 10.0, 4.0, false),
            part("Dear", 10, 50.0, 0.0, true),
        ]);
        assert_eq!(all[0], part("Dear", 40, 20.0, 3.0, false));
        assert_eq!(all[1], part("Cheap", 100, 1.0, 0.0, true));
    }
}
