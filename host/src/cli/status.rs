//! `eventfabric projections status`

use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::projections::short;
use super::{costs, output};
use crate::runner::{self, ProjectionStatus};

/// How to look.
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    /// Look again and again, with so long between, and tell the rate
    #[arg(long, value_name = "TIME", value_parser = interval, num_args = 0..=1,
          default_missing_value = "2s")]
    watch: Option<Duration>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(100) {
        return Err("give at least 100ms".to_owned());
    }
    Ok(interval)
}

/// A look, with what two of them tell.
#[derive(serde::Serialize)]
struct Look<'a> {
    #[serde(flatten)]
    status: &'a ProjectionStatus,
    /// Events a second since the look before.
    rate: Option<f64>,
}

pub(super) async fn run(pool: &PgPool, command: Status) -> anyhow::Result<()> {
    let mut before: Option<(Vec<ProjectionStatus>, Instant)> = None;
    loop {
        let now = Instant::now();
        let statuses = runner::statuses(pool).await?;
        print(&statuses, before.as_ref(), now, command.json)?;
        let Some(interval) = command.watch else { return Ok(()) };
        before = Some((statuses, now));
        tokio::time::sleep(interval).await;
    }
}

fn print(
    statuses: &[ProjectionStatus],
    before: Option<&(Vec<ProjectionStatus>, Instant)>,
    now: Instant,
    json: bool,
) -> anyhow::Result<()> {
    let looks: Vec<Look<'_>> = statuses
        .iter()
        .map(|status| {
            let rate = before.and_then(|(before, then)| {
                let before = before.iter().find(|before| before.name == status.name)?;
                runner::rate(before, status, now.duration_since(*then))
            });
            Look { status, rate }
        })
        .collect();
    let header = [
        "projection",
        "mode",
        "version",
        "state",
        "position",
        "behind",
        "lag",
        "rate",
        "retries",
        "dead letters",
        "shards",
        "an event",
        "note",
    ];
    output::list(&looks, json, &header, |look| {
        let status = look.status;
        vec![
            status.name.clone(),
            status.mode.clone(),
            short(&status.version),
            status.state.clone(),
            status.position.map(|n| n.to_string()).unwrap_or_default(),
            status.behind.to_string(),
            lag(status.lag_seconds),
            look.rate.map(|rate| format!("{rate:.0}/s")).unwrap_or_default(),
            status.retries.to_string(),
            status.dead_letters.to_string(),
            status.shards.to_string(),
            status.cost.and_then(|cost| cost.us_an_event()).map(costs::time).unwrap_or_default(),
            note(status),
        ]
    })
}

fn lag(seconds: f64) -> String {
    if seconds <= 0.0 {
        return String::new();
    }
    let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    match time.as_secs() {
        0..10 => format!("{seconds:.1}s"),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

/// What else there is to say.
fn note(status: &ProjectionStatus) -> String {
    let mut notes = Vec::new();
    if let Some(paused) = &status.paused {
        let by = paused.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        let why = paused.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        notes.push(format!("paused{by}{why}"));
    }
    if let Some(rebuild) = &status.rebuild {
        let how = if rebuild.running { "is being rebuilt" } else { "its rebuild was interrupted" };
        let why = rebuild.last_error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        notes.push(format!("{how} at {} %{why}", rebuild.percent()));
    }
    notes.extend(status.last_error.clone());
    notes.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_short_and_none_is_nothing() {
        assert_eq!(lag(0.0), "");
        assert_eq!(lag(0.25), "0.2s");
        assert_eq!(lag(75.9), "1m 15s");
    }
}
