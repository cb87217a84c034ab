//! `eventfabric plugin test`

mod appended;
mod format;
mod judge;
mod requests;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::build::{self, Profile};
use super::changes::Changes;
use super::connect::Context;
use super::{exit, output, versions};
use crate::plugin::Registry;
use crate::runner::{Host, Workbench};
pub(super) use format::{Scenario, events, files};
pub(super) use judge::{Outcome, judge};
pub(super) use requests::line as request_line;
pub(super) use rows::{in_columns, shown};

/// What to test.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A scenario is a JSON file in the folder `scenarios` of the plugin:

  {
    \"text\": \"a deposit adds to the balance\",
    \"given\": [
      {\"type\": \"AccountOpened\", \"aggregate\": \"Account\", \"id\": \"1\", \"data\": {\"owner\": \"Ada\"}},
      {\"type\": \"MoneyDeposited\", \"data\": {\"cents\": 700}}
    ],
    \"expect\": {\"tables\": {\"accounts\": [{\"account\": \"1\", \"cents\": 700}]}}
  }

docs/authors.md has the rest: queries, errors, settings, events that are appended.

It runs on a private PostgreSQL in DIR/.eventfabric, or on what --database-url or --embedded names, in
tables of its own that go again. (EVENTFABRIC_DATABASE_URL is not looked at: it may name a live database.)

Examples:
  eventfabric plugin test
  eventfabric plugin test --watch
  eventfabric plugin test orders.wasm --scenarios orders/scenarios --json")]
pub(super) struct Test {
    /// The folder of the plugin, which is built first, or a .wasm file
    #[arg(default_value = ".", value_name = "DIR|WASM")]
    place: PathBuf,
    /// Where the scenarios are [default: `scenarios` in the folder, or beside the file]
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
    /// Again whenever something changes, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, command: Test) -> anyhow::Result<()> {
    let is_source = command.place.is_dir();
    let folder = match is_source {
        true => command.place.clone(),
        false => command.place.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let scenarios = command.scenarios.clone().unwrap_or_else(|| folder_of(&folder));
    // Before anything is built or started.
    some(&files(&scenarios)?, &scenarios)?;
    let context = context.of_author(&folder)?;
    let tested = async {
        let host = context.host(None).await?;
        let result = match command.watch {
            false => once(&host, &command, &scenarios).await,
            true => watch(&host, &command, &scenarios).await,
        };
        host.close().await;
        result
    };
    let tested = tested.await;
    context.close().await;
    tested
}

/// The scenarios of a plugin's folder.
pub(super) fn folder_of(plugin: &Path) -> PathBuf {
    plugin.strip_prefix(".").unwrap_or(plugin).join("scenarios")
}

fn some(files: &[PathBuf], folder: &Path) -> anyhow::Result<()> {
    if files.is_empty() {
        return Err(exit::bad_input(format!(
            "there is no scenario (*.json) in {}; `eventfabric plugin test --help` shows one, and \
             --scenarios names another folder",
            folder.display()
        )));
    }
    Ok(())
}

async fn watch(host: &Host, command: &Test, scenarios: &Path) -> anyhow::Result<()> {
    let (mut folders, mut single) = (vec![scenarios.to_owned()], Vec::new());
    match command.place.is_dir() {
        true => folders.push(command.place.clone()),
        false => single.push(command.place.clone()),
    }
    let mut changes = Changes::of(&folders, &single)?;
    let again = async {
        loop {
            if let Err(error) = once(host, command, scenarios).await {
                output::line(&format!("error: {}", exit::message(&error)))?;
            }
            output::line("\nwaiting for a change; Ctrl-C ends it")?;
            changes.next().await?;
        }
    };
    tokio::select! {
        ended = again => ended,
        ended = tokio::signal::ctrl_c() => Ok(ended?),
    }
}

async fn once(host: &Host, command: &Test, scenarios: &Path) -> anyhow::Result<()> {
    let file = match command.place.is_dir() {
        true => build::build(&command.place, Profile::Release).await?,
        false => command.place.clone(),
    };
    let begun = Instant::now();
    let bench = workbench(host.registry(), &file).await?;
    let outcomes = all(&bench, scenarios).await;
    bench.close().await?;
    let outcomes = outcomes?;
    some(&outcomes.iter().map(|outcome| outcome.file.clone()).collect::<Vec<_>>(), scenarios)?;
    let failed = outcomes.iter().filter(|outcome| !outcome.ok).count();
    if command.json {
        output::value(&outcomes)?;
    } else {
        for outcome in &outcomes {
            output::text(&outcome.lines())?;
        }
        let took = begun.elapsed().as_secs_f64();
        output::line(&format!(
            "{} of {} scenarios went well, in {took:.1} s",
            outcomes.len() - failed,
            outcomes.len()
        ))?;
    }
    anyhow::ensure!(failed == 0, "{failed} of {} scenarios failed", outcomes.len());
    Ok(())
}

/// A component on tables of its own.
pub(super) async fn workbench<'a>(
    registry: &'a Arc<Registry>,
    file: &Path,
) -> anyhow::Result<Workbench<'a>> {
    let bytes = versions::bytes(file).await?;
    let plugin = registry.runtime().load(bytes.into()).await.map_err(|error| {
        let file = file.display();
        exit::refused(&error, format!("{file} is no plugin that this host runs: {error}"))
    })?;
    Ok(Workbench::open(registry, Arc::new(plugin)).await?)
}

/// Runs all scenarios of a folder.
pub(super) async fn all(bench: &Workbench<'_>, folder: &Path) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for file in files(folder)? {
        outcomes.push(judge(bench, file).await?);
    }
    Ok(outcomes)
}
