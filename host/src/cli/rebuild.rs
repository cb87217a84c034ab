//! `eventfabric projections rebuild|reset`

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connect::Context;
use super::output;
use super::projections::tell;
use super::run::stop_on_signals;
use crate::plugin::Start;
use crate::runner::{self, RebuildOptions, RebuildProgress};

/// Where there is no terminal, a line says so often how far it is.
const LINES: Duration = Duration::from_secs(5);

/// What to rebuild, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Rebuild {
    /// The projection
    name: String,
    /// With which event of the log to begin, in empty tables: `beginning`, the first position, or the time
    /// of the first event (RFC 3339)
    #[arg(long, value_name = "POSITION|TIME", default_value = "beginning", value_parser = parse_start)]
    from: Start,
    /// In how many parts to read the log, by the hash of the stream [default: one a core]
    #[arg(long, value_name = "N")]
    shards: Option<i32>,
    /// Keep the tables that are replaced, in the schema NAME__old
    #[arg(long)]
    keep_old: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// What to reset, and to where.
#[derive(Debug, clap::Args)]
pub(super) struct Reset {
    /// The projection
    name: String,
    /// With which event to go on: `beginning`, `now` (the next one that is appended), a position, or the
    /// time of an event (RFC 3339)
    #[arg(long, value_name = "PLACE", default_value = "beginning", value_parser = parse_start)]
    to: Start,
    /// Empty its tables in the same transaction
    #[arg(long)]
    truncate: bool,
    /// Do it: events are handled again, or left out
    #[arg(long, required = true)]
    yes: bool,
}

fn parse_start(text: &str) -> Result<Start, String> {
    text.parse()
}

pub(super) async fn rebuild(context: &Context, command: Rebuild) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    // A part at work has a connection of its own.
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as i32);
    let shards = command.shards.unwrap_or(cores).clamp(1, crate::plugin::MAX_SHARDS);
    let host = context.host_with(None, shards.unsigned_abs() + 5).await?;
    let options = RebuildOptions {
        from: command.from,
        shards: command.shards,
        keep_old: command.keep_old,
        topics: context.settings.topics.clone(),
        batch: context.settings.runner.catch_up.batch,
    };
    let progress = watch::Sender::new(RebuildProgress::default());
    let shown = tokio::spawn(show(command.name.clone(), progress.subscribe()));
    let rebuilt = runner::rebuild(host.registry(), &command.name, &options, &progress, &stop).await;
    drop(progress);
    let _ = shown.await;
    host.close().await;
    let rebuilt = rebuilt?;
    if command.json {
        return output::value(&rebuilt);
    }
    output::line(&format!(
        "{} is rebuilt: {} events in {:.1} s",
        rebuilt.projection, rebuilt.events, rebuilt.seconds
    ))
}

/// Shows how a rebuild gets on, until it ends: a bar on a terminal, lines elsewhere.
pub(super) async fn show(name: String, mut progress: watch::Receiver<RebuildProgress>) {
    let terminal = std::io::stderr().is_terminal();
    let bar = if terminal { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) =
        ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3} % {msg}, {eta_precise} left")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name.clone());
    let (mut begun, mut said) = (None, Instant::now());
    while progress.changed().await.is_ok() {
        let now = progress.borrow_and_update().clone();
        let (whole, read) = now.positions();
        let (start, first) = *begun.get_or_insert_with(|| {
            bar.reset_eta();
            if now.resumed {
                tracing::info!(
                    projection = name,
                    events = now.events,
                    "going on with tables that were filled before"
                );
            }
            (Instant::now(), now.events)
        });
        let rate = (now.events - first) as f64 / start.elapsed().as_secs_f64().max(0.001);
        bar.set_length(whole);
        bar.set_position(read);
        bar.set_message(match now.replacing {
            false => format!("{} events, {rate:.0}/s", now.events),
            true => "taking the place of the old tables".to_owned(),
        });
        if !terminal && said.elapsed() >= LINES {
            said = Instant::now();
            let left = (whole - read) as f64 / (read as f64 / start.elapsed().as_secs_f64());
            tracing::info!(
                projection = name,
                events = now.events,
                rate = rate.round(),
                percent = read * 100 / whole.max(1),
                seconds_left = left.round(),
                "rebuilding"
            );
        }
        // Not for each batch.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bar.finish_and_clear();
}

pub(super) async fn reset(context: &Context, pool: &PgPool, command: Reset) -> anyhow::Result<()> {
    debug_assert!(command.yes, "it is required");
    let sandbox = context.sandbox().await?;
    let position =
        runner::reset(pool, &sandbox, &command.name, command.to, command.truncate).await?;
    sandbox.close().await;
    tell(pool).await?;
    output::line(&format!("{} goes on after position {position}", command.name))
}
