//! Whether events reach the projections.

use std::time::Duration;

use chrono::SecondsFormat;

use super::{Finding, Found, Patient};
use crate::plugin;
use crate::projection::Mode;
use crate::runner::stall::{in_the_way, paused};
use crate::store::{self, Backlog, EventStore};

/// More retries than this are more than an accident.
const MANY_RETRIES: i64 = 1000;

/// Projections that do not run.
pub(super) async fn projections(patient: &Patient) -> Found {
    let mut found = Vec::new();
    for registered in plugin::registered(&patient.pool).await? {
        let (name, place) = (&registered.name, format!("projection {}", registered.name));
        if registered.failed {
            let error = registered.last_error.as_deref().unwrap_or("unknown");
            found.push(Finding::problem(
                place,
                format!("it was stopped by an error: {error}"),
                format!("deploy a version that works, or `eventfabric projections resume {name}`"),
            ));
        } else if let Some(pause) = &registered.paused {
            found.push(Finding::warning(
                place,
                paused(pause.at, pause.by.as_deref(), pause.reason.as_deref()),
                format!("`eventfabric projections resume {name}` ends it"),
            ));
        } else if let Some(trouble) = &registered.last_error {
            found.push(Finding::warning(
                place,
                format!("its last attempt failed: {trouble}"),
                "when that is mended, it goes on by itself",
            ));
        }
    }
    Ok(found)
}

/// Projections that have work and do not do it, and who is in the way.
pub(super) async fn stalls(patient: &Patient) -> Found {
    let tenants = store::tenants(&patient.pool).await?;
    let still =
        sqlx::query_file!("src/runner/sql/doctor_still.sql", patient.stall.as_secs_f64(), &tenants)
            .fetch_all(&patient.pool)
            .await?;
    if still.is_empty() {
        return Ok(Vec::new());
    }
    let blockers = store::blockers(&patient.pool, patient.stall).await?;
    // Who holds the log holds every catch-up projection; a lock is in the way of any.
    let log = blockers.iter().any(|blocker| blocker.holds_log);
    let why = in_the_way(&blockers, log);
    Ok(still
        .into_iter()
        .map(|row| {
            let since = row.since.to_rfc3339_opts(SecondsFormat::Secs, true);
            Finding::problem(
                format!("projection {}", row.name),
                format!("it has had work since {since} and has not done it: {why}"),
                "see that a host runs (`eventfabric run`), and end the transaction that is named, if \
                 one is: SELECT pg_terminate_backend(PID)",
            )
        })
        .collect())
}

async fn backlog(patient: &Patient) -> anyhow::Result<Backlog> {
    Ok(EventStore::new(patient.pool.clone()).backlog(None).await?)
}

/// Rows that wait for long, and why.
pub(super) async fn outbox(patient: &Patient) -> Found {
    let backlog = backlog(patient).await?;
    let mut found = Vec::new();
    if let Some(foreign) = store::foreign_worker(&patient.pool, patient.foreign_lease).await? {
        found.push(Finding::warning(
            format!("worker {}", foreign.worker.as_deref().unwrap_or("(unnamed)")),
            "it belongs to another program and takes rows from the outbox; our hosts wait for it",
            "stop one of the two",
        ));
    }
    let (Some(at), Some(seconds)) = (backlog.oldest_at, backlog.oldest_seconds) else {
        return Ok(found);
    };
    if seconds < patient.stall.as_secs_f64() {
        return Ok(found);
    }
    let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let waits = format!("{} rows wait, the oldest since {at}", backlog.rows);
    let projections = plugin::registered(&patient.pool).await?;
    if !projections.iter().any(|registered| registered.mode == Mode::Async) {
        found.push(Finding::warning(
            "outbox",
            format!("{waits}: there is no async projection"),
            "nothing, if one is to come, as it gets them all; rows stay until then",
        ));
        return Ok(found);
    }
    let why = in_the_way(&store::blockers(&patient.pool, Duration::ZERO).await?, false);
    found.push(Finding::problem(
        "outbox",
        format!("{waits}: {why}"),
        "see that a host runs (`eventfabric run`); with more workers (runner.async.workers) or hosts it \
         goes faster",
    ));
    Ok(found)
}

/// Retries that pile up.
pub(super) async fn retries(patient: &Patient) -> Found {
    let backlog = backlog(patient).await?;
    let many = backlog.projections.into_iter().filter(|of| of.retries > MANY_RETRIES);
    Ok(many
        .map(|of| {
            let name = of.projection.unwrap_or_default();
            Finding::warning(
                format!("projection {name}"),
                format!("{} of its events wait for another attempt", of.retries),
                "the log of the hosts says what fails",
            )
        })
        .collect())
}

/// Events that were given up.
pub(super) async fn dead_letters(patient: &Patient) -> Found {
    let backlog = backlog(patient).await?;
    let dead = backlog.projections.into_iter().filter(|of| of.dead_letters > 0);
    Ok(dead
        .map(|of| {
            let place = of
                .projection
                .map_or_else(|| "all projections".to_owned(), |name| format!("projection {name}"));
            Finding::warning(
                place,
                format!("{} events were given up", of.dead_letters),
                "`eventfabric dlq list` says why; `eventfabric dlq requeue` tries them again",
            )
        })
        .collect())
}
