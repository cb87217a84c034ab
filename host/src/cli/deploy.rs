//! `eventfabric plugin deploy|rollback|retire`

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connect::Context;
use super::projections::short;
use super::rebuild::show;
use super::run::stop_on_signals;
use super::versions::{bytes, refused};
use super::{exit, output};
use crate::plugin::{Action, Origin};
use crate::runner::{
    self, Canary, DeployError, Deployed, Host, Measured, RebuildError, RebuildOptions,
    RebuildProgress, Tables,
};

/// What to deploy.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eventfabric plugin deploy carriers.wasm
  eventfabric plugin deploy carriers.wasm --rebuild    # with tables of its own, filled from the log, while
                                                       # the active version is served; run again, it goes on
  eventfabric plugin deploy carriers.wasm --at 250000  # from this event on")]
pub(super) struct Deploy {
    /// A .wasm file
    file: PathBuf,
    /// Have it make its tables anew and fill them from the log, while the active version goes on; then both
    /// take the place of the old ones at once
    #[arg(long)]
    rebuild: bool,
    /// Of a catch-up projection: have the active version handle all events before this position of the log,
    /// and this one what comes from there on
    #[arg(long, value_name = "POSITION", conflicts_with = "rebuild",
          value_parser = clap::value_parser!(i64).range(1..))]
    at: Option<i64>,
    #[command(flatten)]
    tables: NewTables,
    #[command(flatten)]
    how: How,
}

/// How new tables are made.
#[derive(Debug, clap::Args)]
struct NewTables {
    /// Keep the tables that are replaced, in the schema NAME__old, for `plugin rollback`
    #[arg(long, requires = "rebuild", num_args = 0..=1, require_equals = true, default_value_t = true,
          default_missing_value = "true", action = clap::ArgAction::Set, value_name = "BOOL")]
    keep_old: bool,
    /// In how many parts to read the log, by the hash of the stream [default: one a core]
    #[arg(long, requires = "rebuild", value_name = "N")]
    shards: Option<i32>,
}

/// How a version becomes the active one.
#[derive(Debug, clap::Args)]
struct How {
    /// Try it on the last so many events of its types first [default: the setting canary_events]
    #[arg(long, value_name = "N", alias = "trial")]
    canary: Option<i64>,
    /// Who you are
    #[arg(long, env = "USER", default_value = "somebody")]
    by: String,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// Where to go back to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where the tables of that version are kept (`deploy --rebuild`), they are handed what has come since and come
back with it. Otherwise it goes on with the tables that are there, and must know all their migrations.

Examples:
  eventfabric plugin rollback carriers
  eventfabric plugin rollback carriers 9f2c --rebuild    # an older one than its tables: made anew")]
pub(super) struct Rollback {
    /// The plugin
    name: String,
    /// The first digits of a version [default: the one that the active version has replaced]
    version: Option<String>,
    /// Have it make its tables anew and fill them from the log, where they are not kept
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    tables: NewTables,
    #[command(flatten)]
    how: How,
}

/// Which tables to drop.
#[derive(Debug, clap::Args)]
pub(super) struct Retire {
    /// The plugin
    name: String,
    /// Who you are
    #[arg(long, env = "USER", default_value = "somebody")]
    by: String,
}

fn told(deployed: &Deployed, json: bool) -> anyhow::Result<()> {
    if json {
        return output::value(&serde_json::json!({
            "plugin": deployed.name,
            "version": deployed.version,
            "before": deployed.before,
            "unchanged": deployed.unchanged,
            "at": deployed.at,
            "tried": deployed.tried,
            "trial": deployed.trial,
            "rebuilt": deployed.rebuilt,
            "took_ms": deployed.took.as_millis() as u64,
        }));
    }
    let (name, version) = (&deployed.name, short(&deployed.version));
    if deployed.unchanged {
        return output::line(&format!("{name} {version} is active already"));
    }
    let before = match &deployed.before {
        Some(before) => format!("in place of {}", short(before)),
        None => "as its first version".to_owned(),
    };
    let becomes = match deployed.at {
        Some(position) => format!("becomes active at position {position}"),
        None => "is active".to_owned(),
    };
    let tables = deployed.rebuilt.as_ref().map_or_else(String::new, |rebuilt| {
        format!(
            "; its tables were handed {} events and took their place in {:.0} ms",
            rebuilt.events, rebuilt.held_ms
        )
    });
    output::line(&format!(
        "{name} {version} {becomes} {before}; on trial it handled {} events{tables}; {:.1} s",
        deployed.tried,
        deployed.took.as_secs_f64()
    ))?;
    match deployed.trial.as_ref().and_then(|trial| trial.new.as_ref().zip(trial.active.as_ref())) {
        Some((new, active)) => compared(new, active),
        None => Ok(()),
    }
}

/// What a trial has measured of both versions.
fn compared(new: &Measured, active: &Measured) -> anyhow::Result<()> {
    let row = |version: &str, of: &Measured| {
        // Of what one of the two did not handle, nothing can be compared.
        let compared = |number: f64| match of.compared {
            0 => "-".to_owned(),
            _ => format!("{number:.1}"),
        };
        vec![
            version.to_owned(),
            of.handled.to_string(),
            of.refused.to_string(),
            of.limits.to_string(),
            compared(of.statements),
            compared(of.p50_ms),
            compared(of.p99_ms),
        ]
    };
    let header =
        ["on trial", "handled", "refused", "limits", "statements an event", "p50 ms", "p99 ms"];
    output::table(&header, [row("this version", new), row("the one before", active)])
}

/// A host with as many connections as the parts of a rebuild need.
async fn host(context: &Context, tables: &NewTables) -> anyhow::Result<Host> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as i32);
    let shards = tables.shards.unwrap_or(cores).clamp(1, crate::plugin::MAX_SHARDS);
    context.host_with(None, shards.unsigned_abs() + 5).await
}

fn options(context: &Context, tables: &NewTables) -> RebuildOptions {
    RebuildOptions {
        shards: tables.shards,
        keep_old: tables.keep_old,
        topics: context.settings.topics.clone(),
        batch: context.settings.runner.catch_up.batch,
        ..RebuildOptions::default()
    }
}

fn canary(context: &Context, how: &How) -> Canary {
    let canary = context.settings.runner.canary();
    Canary { events: how.canary.unwrap_or(canary.events), ..canary }
}

/// Shows how new tables are filled, until the work is done or a signal ends it.
async fn watched<T>(
    name: &str,
    options: &RebuildOptions,
    work: impl AsyncFnOnce(&Tables<'_>) -> T,
) -> anyhow::Result<T> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let progress = watch::Sender::new(RebuildProgress::default());
    let shown = tokio::spawn(show(name.to_owned(), progress.subscribe()));
    let done = work(&Tables { options, progress: &progress, stop: &stop }).await;
    drop(progress);
    let _ = shown.await;
    Ok(done)
}

pub(super) async fn deploy(context: &Context, command: Deploy) -> anyhow::Result<()> {
    let bytes = bytes(&command.file).await?;
    let host = host(context, &command.tables).await?;
    let source = tokio::fs::canonicalize(&command.file).await.unwrap_or(command.file);
    let source = source.display().to_string();
    let origin =
        Origin { action: Action::Deploy, by: &command.how.by, source: &source, reason: None };
    let canary = canary(context, &command.how);
    let (registry, bytes): (_, Arc<[u8]>) = (host.registry(), bytes.into());
    let deployed = if command.rebuild {
        let options = options(context, &command.tables);
        let loaded = registry.runtime().load(bytes.clone()).await;
        let name = loaded.map_err(|error| refused(error.into()))?.description.name;
        watched(&name, &options, async |tables| {
            runner::deploy_rebuilt(registry, bytes, &origin, &canary, tables).await
        })
        .await?
    } else if let Some(position) = command.at {
        runner::deploy_at(registry, bytes, &origin, &canary, position).await
    } else {
        runner::deploy_from(registry, bytes, &origin, &canary).await
    };
    host.close().await;
    told(&deployed.map_err(why)?, command.how.json)
}

pub(super) async fn rollback(context: &Context, command: Rollback) -> anyhow::Result<()> {
    let host = host(context, &command.tables).await?;
    let canary = canary(context, &command.how);
    let (name, version, by) = (&command.name, command.version.as_deref(), &command.how.by);
    let options = options(context, &command.tables);
    let deployed = watched(name, &options, async |tables| {
        let rebuild = command.rebuild;
        runner::roll_back_rebuilt(host.registry(), name, version, by, &canary, rebuild, tables)
            .await
    })
    .await?;
    host.close().await;
    told(&deployed.map_err(why)?, command.how.json)
}

/// What an interrupted one says is what to do next.
fn why(error: DeployError) -> anyhow::Error {
    match error {
        DeployError::Rebuild(RebuildError::Stopped) => anyhow::anyhow!(
            "stopped; what was active stays active, and the same command goes on where this one was"
        ),
        error => refused(error),
    }
}

pub(super) async fn retire(context: &Context, command: Retire) -> anyhow::Result<()> {
    let host = context.host(None).await?;
    let retired = runner::retire(host.registry(), &command.name, &command.by).await;
    host.close().await;
    if !retired.map_err(refused)? {
        return Err(exit::bad_input(format!("no tables are kept of `{}`", command.name)));
    }
    output::line(&format!(
        "the tables that were kept of {0} are dropped; a rollback to their version needs --rebuild",
        command.name
    ))
}
