//! `eventfabric plugin logs`

use std::time::Duration;

use super::connect::Context;
use super::output;
use crate::plugin::{self, LogLevel, LogLine};

/// How often to look for new lines.
const LOOK: Duration = Duration::from_millis(500);
/// Lines that are read at a time.
const PAGE: i64 = 1000;

/// What a plugin has said.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Running hosts keep the last lines of each plugin (runner.logs), also those of batches that were rolled back.

Examples:
  eventfabric plugin logs carriers -f
  eventfabric plugin logs carriers --level warn --lines 20 --json")]
pub(super) struct Logs {
    /// The plugin
    name: String,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// Only lines of this severity and above: trace, debug, info, warn, error
    #[arg(long, default_value = "trace")]
    level: LogLevel,
    /// The last so many lines
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(i64).range(0..=10_000))]
    lines: i64,
    /// Answer in JSON, an object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, command: Logs) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    let (name, level) = (&command.name, command.level);
    // First: what comes meanwhile is told, and once.
    let newest = plugin::logs(&pool, name, None, LogLevel::Trace, 1).await?;
    let last = plugin::logs(&pool, name, None, level, command.lines).await?;
    let mut after =
        newest.last().into_iter().chain(last.last()).map(|line| line.id).max().unwrap_or(0);
    last.iter().try_for_each(|line| show(line, command.json))?;
    if !command.follow {
        return Ok(());
    }
    loop {
        let lines = plugin::logs(&pool, name, Some(after), level, PAGE).await?;
        lines.iter().try_for_each(|line| show(line, command.json))?;
        after = lines.last().map_or(after, |line| line.id);
        if lines.len() < PAGE as usize {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn show(line: &LogLine, json: bool) -> anyhow::Result<()> {
    if json {
        return output::line(&serde_json::to_string(line)?);
    }
    output::line(&format!(
        "{} {:5} {} {}: {}",
        line.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        line.level,
        line.version,
        line.positions,
        output::printable(&line.message)
    ))
}
