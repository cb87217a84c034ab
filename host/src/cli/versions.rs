//! `eventfabric plugin check|diff|versions|history|remove`

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::connect::Context;
use super::projections::{short, tell};
use super::{exit, output};
use crate::plugin::{self, Action, Deployment, KnownVersion, Range};
use crate::runner::{self, Checked, DeployError, Diff, Difference};

/// What to look at, and how closely.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// A .wasm file
    file: PathBuf,
    /// Try it on the last so many events of its types
    #[arg(long, value_name = "N", default_value_t = 1000)]
    events: i64,
    /// Handle them twice, in batches of different sizes, and compare the rows
    #[arg(long)]
    determinism: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// What to compare.
#[derive(Debug, clap::Args)]
pub(super) struct Compare {
    /// A .wasm file
    file: PathBuf,
    /// With the version whose SHA-256 begins so [default: the active one]
    #[arg(long, value_name = "VERSION")]
    with: Option<String>,
    /// Have both handle the last so many events of their types
    #[arg(long, value_name = "N", default_value_t = 1000)]
    events: i64,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// Whose past to show.
#[derive(Debug, clap::Args)]
pub(super) struct Past {
    /// The plugin
    name: String,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// What to remove.
#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// The plugin
    name: String,
    /// Drop its tables, too, and forget how far it had come and what waits for it
    #[arg(long)]
    drop_tables: bool,
    /// Who you are
    #[arg(long, env = "USER", default_value = "somebody")]
    by: String,
    /// Do it: no host runs the projection any more
    #[arg(long, required = true)]
    yes: bool,
}

/// The bytes of a file that the caller names.
pub(super) async fn bytes(file: &Path) -> anyhow::Result<Vec<u8>> {
    let read = tokio::fs::read(file).await;
    read.map_err(|error| exit::bad_input(format!("{}: {error}", file.display())))
}

/// An error about the file, or about the version, is the caller's.
pub(super) fn refused(error: DeployError) -> anyhow::Error {
    match error {
        DeployError::Load(error) => {
            exit::refused(&error, format!("it is no plugin that this host runs: {error}"))
        }
        error @ (DeployError::Unknown(_) | DeployError::Version(_)) => {
            exit::refused(&error, error.to_string())
        }
        error => anyhow::Error::new(error).context("refused; what was active stays active"),
    }
}

pub(super) async fn check(context: &Context, command: Check) -> anyhow::Result<()> {
    let bytes = bytes(&command.file).await?;
    let host = context.host(None).await?;
    let checked =
        runner::check(host.registry(), bytes.into(), command.events, command.determinism).await;
    host.close().await;
    let checked = checked.map_err(refused)?;
    let differs = checked.differences.iter().flatten().count() > 0;
    if command.json {
        output::value(&checked)?;
    } else {
        show(&checked)?;
    }
    if differs {
        anyhow::bail!(
            "its rows depend on more than the events: a rebuild would not make the same ones"
        );
    }
    Ok(())
}

fn show(checked: &Checked) -> anyhow::Result<()> {
    let active = match &checked.active {
        Some(active) if *active == checked.version => "this one".to_owned(),
        Some(active) => short(active),
        None => "none".to_owned(),
    };
    let tried = match &checked.refused {
        None => format!("{} of {} events went well", checked.handled, checked.events),
        Some(why) => format!(
            "{} of {} events went well; of the others the first one: {why}",
            checked.handled, checked.events
        ),
    };
    let statements: Vec<String> = checked
        .statements
        .iter()
        .map(|statement| statement.text.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut rows = vec![
        ("name", checked.name.clone()),
        ("version", short(&checked.version)),
        ("active now", active),
        ("migrations to run", checked.migrations.join("\n")),
        ("on trial", tried),
        ("statements", statements.join("\n")),
    ];
    if let Some(differences) = &checked.differences {
        let told = match differences.as_slice() {
            [] => "the same rows in batches of any size".to_owned(),
            some => some.iter().map(difference).collect::<Vec<_>>().join("\n"),
        };
        rows.push(("determinism", told));
    }
    output::table(&["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}

fn difference(difference: &Difference) -> String {
    let Difference { table, only_in_first, only_in_second } = difference;
    let list = |rows: &[String]| if rows.is_empty() { "-".to_owned() } else { rows.join(" ") };
    format!(
        "{table}: only in large batches {}; only in small ones {}",
        list(only_in_first),
        list(only_in_second)
    )
}

pub(super) async fn compare(context: &Context, command: Compare) -> anyhow::Result<()> {
    let bytes = bytes(&command.file).await?;
    let host = context.host(None).await?;
    let with = command.with.as_deref();
    let diff = runner::diff(host.registry(), bytes.into(), with, command.events).await;
    host.close().await;
    let diff = diff.map_err(refused)?;
    if command.json {
        return output::value(&diff);
    }
    output::text(&lines(&diff))
}

/// As other tools show differences: what goes with `-`, what comes with `+`.
fn lines(diff: &Diff) -> String {
    let mut text = format!("--- {} {}\n+++ {} {}\n", diff.name, diff.old, diff.name, diff.new);
    let mut part = |title: &str, old: &[String], new: &[String]| {
        if old.is_empty() && new.is_empty() {
            return;
        }
        text.push_str(&format!("@@ {title}\n"));
        for (sign, list) in [("-", old), ("+", new)] {
            for line in list.iter().flat_map(|entry| entry.lines()) {
                text.push_str(&format!("{sign} {}\n", output::printable(line)));
            }
        }
    };
    for (what, old, new) in &diff.description {
        part(what, std::slice::from_ref(old), std::slice::from_ref(new));
    }
    part("imports", &diff.imports.old, &diff.imports.new);
    part("migrations", &diff.migrations.old, &diff.migrations.new);
    part("statements", &diff.statements.old, &diff.statements.new);
    for Difference { table, only_in_first, only_in_second } in &diff.tables {
        let title = format!("rows of {table}, the first few, after {} events", diff.events);
        part(&title, only_in_first, only_in_second);
    }
    if diff.tables.is_empty() {
        text.push_str(&format!("@@ the same rows after {} events\n", diff.events));
    }
    text
}

fn or_none(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "-".to_owned())
}

pub(super) async fn versions(context: &Context, command: Past) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    let versions = plugin::versions(&pool, &command.name).await?;
    known(&command.name, versions.is_empty())?;
    let header =
        ["version", "state", "since", "by", "from", "bytes", "migrations", "handled", "error"];
    output::list(&versions, command.json, &header, |known: &KnownVersion| {
        vec![
            short(&known.version),
            known.state.as_str().to_owned(),
            output::time(known.deployed_at),
            or_none(known.deployed_by.as_ref()),
            or_none(known.source.as_ref()),
            known.bytes.to_string(),
            known.description.as_ref().map_or(0, |d| d.migrations.len()).to_string(),
            Range::told(&known.handled),
            or_none(known.error.as_ref()),
        ]
    })
}

pub(super) async fn history(context: &Context, command: Past) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    let deployments = plugin::deployments(&pool, &command.name, 1000).await?;
    known(&command.name, deployments.is_empty())?;
    let header = ["at", "what", "version", "in place of", "log at", "by", "from", "error"];
    output::list(&deployments, command.json, &header, |deployment: &Deployment| {
        let what = match (deployment.action, deployment.activated()) {
            (Action::Deploy, true) if deployment.rebuilt => "deployed with new tables",
            (Action::Deploy, true) => "deployed",
            (Action::Deploy, false) => "refused",
            (Action::Rollback, true) if deployment.rebuilt => "rolled back to, with its tables",
            (Action::Rollback, true) => "rolled back to",
            (Action::Rollback, false) => "rollback refused",
            (Action::Fallback, _) => "fell back to",
            (Action::Remove, _) => "removed",
            (Action::Retire, _) => "dropped the kept tables",
            (Action::Config, _) => "changed a setting",
        };
        vec![
            output::time(deployment.at),
            what.to_owned(),
            short(&deployment.version),
            deployment
                .replaced
                .as_deref()
                .filter(|_| deployment.activated())
                .map_or_else(|| "-".to_owned(), short),
            deployment.log_position.to_string(),
            or_none(deployment.by.as_ref()),
            or_none(deployment.source.as_ref()),
            or_none(deployment.error.as_ref()),
        ]
    })
}

fn known(name: &str, nothing: bool) -> anyhow::Result<()> {
    if nothing {
        return Err(exit::bad_input(format!(
            "there is no plugin `{name}`; `eventfabric projections list` shows those that there are"
        )));
    }
    Ok(())
}

pub(super) async fn remove(context: &Context, command: Remove) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    let name = &command.name;
    let removed = plugin::remove(&pool, name, &command.by, command.drop_tables).await?;
    tell(&pool).await?;
    if name.starts_with(plugin::RELAY) {
        known(name, !removed)?;
        return output::line(&format!(
            "{name} is removed; a host that has its settings makes it a projection again when it starts"
        ));
    }
    if command.drop_tables {
        let sandbox = context.sandbox().await?;
        let dropped = sandbox.drop_plugin(name).await;
        sandbox.close().await;
        let dropped =
            dropped.context("the projection is removed, and its tables are still there")?;
        known(name, !removed && !dropped)?;
        return output::line(&format!("{name} and its tables are removed"));
    }
    known(name, !removed)?;
    output::line(&format!(
        "{name} is removed; its tables and its place in the log stay, and a deploy goes on from there. A \
         file of it in a watched folder is deployed again when a host starts"
    ))
}
