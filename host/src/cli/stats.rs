//! `eventfabric stats`

use std::time::Duration;

use super::connect::Context;
use super::output;
use crate::runner::{Health, ProjectionHealth, health};
use crate::store::{Backlog, EventStore, Statistics, Tally};

/// Between two looks.
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Stats {
    /// Only of this tenant
    #[arg(long)]
    pub tenant: Option<String>,
    /// Look again after a second, and say how fast the projections go
    #[arg(long, conflicts_with = "tenant")]
    pub rate: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn run(context: &Context, command: Stats) -> anyhow::Result<()> {
    let store = EventStore::new(context.pool_of(command.tenant.as_deref()).await?);
    let tenant = command.tenant.as_deref();
    let log = store.statistics(tenant).await?;
    let Some(tenant) = tenant else {
        let health = look(&store, command.rate).await?;
        if command.json {
            return output::value(&serde_json::json!({
                "log": log, "backlog": health.outbox, "projections": health.projections
            }));
        }
        print_log(&log)?;
        print_projections(&health.projections)?;
        return print_backlog(&health.outbox);
    };
    // How a projection stands is not known by tenant.
    let backlog = store.backlog(Some(tenant)).await?;
    if command.json {
        return output::value(&serde_json::json!({ "log": log, "backlog": backlog }));
    }
    print_log(&log)?;
    print_backlog(&backlog)
}

async fn look(store: &EventStore, rate: bool) -> anyhow::Result<Health> {
    let first = health(store).await?;
    if !rate {
        return Ok(first);
    }
    tokio::time::sleep(SECOND).await;
    Ok(health(store).await?.since(&first))
}

fn print_projections(projections: &[ProjectionHealth]) -> anyhow::Result<()> {
    if projections.is_empty() {
        return Ok(());
    }
    let header = ["projection", "state", "behind", "lag", "a second", "retries", "dead letters"];
    output::list(projections, false, &header, |of| {
        let lag = of.lag_seconds.map(|lag| format!("{lag:.1} s")).unwrap_or_default();
        let rate = of.rate.map(|rate| format!("{rate:.0}")).unwrap_or_default();
        vec![
            of.name.clone(),
            of.state.to_owned(),
            of.behind.to_string(),
            lag,
            rate,
            of.retries.to_string(),
            of.dead_letters.to_string(),
        ]
    })
}

fn print_log(log: &Statistics) -> anyhow::Result<()> {
    let total = &log.total;
    output::line(&format!(
        "{} events, {} of them dismissed, in {} streams; up to position {}",
        total.events,
        total.dismissed,
        log.streams,
        total.last_position.unwrap_or(0)
    ))?;
    let header = ["type", "schema versions", "events", "dismissed", "last position", "last at"];
    output::list(&log.types, false, &header, |of| {
        let versions: Vec<String> = of.schema_versions.iter().map(i32::to_string).collect();
        [vec![of.event_type.clone(), versions.join(", ")], tally(&of.tally)].concat()
    })?;
    let header = ["aggregate", "streams", "events", "dismissed", "last position", "last at"];
    output::list(&log.aggregates, false, &header, |of| {
        [vec![of.aggregate.clone(), of.streams.to_string()], tally(&of.tally)].concat()
    })
}

fn print_backlog(backlog: &Backlog) -> anyhow::Result<()> {
    let oldest = backlog.oldest_at.map(output::time);
    output::line(&match oldest {
        Some(oldest) => format!("{} rows in the outbox, the oldest of {oldest}", backlog.rows),
        None => "0 rows in the outbox".to_owned(),
    })?;
    if !backlog.topics.is_empty() {
        let header = ["topic", "rows", "claimed by others", "oldest"];
        output::list(&backlog.topics, false, &header, |of| {
            vec![
                of.topic.clone().unwrap_or_else(|| "(none)".to_owned()),
                of.rows.to_string(),
                of.claimed.to_string(),
                output::time(of.oldest_at),
            ]
        })?;
    }
    if !backlog.projections.is_empty() {
        let header = ["projection", "retries", "dead letters", "first failure", "next attempt"];
        output::list(&backlog.projections, false, &header, |of| {
            vec![
                of.projection.clone().unwrap_or_else(|| "(all)".to_owned()),
                of.retries.to_string(),
                of.dead_letters.to_string(),
                of.first_failed_at.map(output::time).unwrap_or_default(),
                of.next_attempt_at.map(output::time).unwrap_or_default(),
            ]
        })?;
    }
    Ok(())
}

fn tally(of: &Tally) -> Vec<String> {
    vec![
        of.events.to_string(),
        of.dismissed.to_string(),
        of.last_position.map(|position| position.to_string()).unwrap_or_default(),
        of.last_occurred_at.map(output::time).unwrap_or_default(),
    ]
}
