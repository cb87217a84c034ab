//! `eventfabric dev`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncBufReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

use super::build::{self, Language, Profile};
use super::changes::Changes;
use super::connect::{Context, reach};
use super::counted::Count;
use super::scenario::{self, Scenario};
use super::{exit, failures, import, line, output};
use crate::db;
use crate::event::{DEFAULT_TENANT, Event, StreamId};
use crate::plugin::{PluginConfig, Rehearsal};
use crate::runner::{Host, Run, Scene, Workbench};
use crate::sandbox::{TextTable, whole_table};
use crate::store::{Append, Direction, EventStore};

/// Events of the samples that the plugin gets at a time.
const BATCH: usize = 500;

/// Failed events that are shown.
const FAILED: usize = 5;

/// What to work on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everything runs on a private PostgreSQL in DIR/.eventfabric, or on what --database-url or --embedded names, in tables \
that go again. Samples are the events of the first scenario, where none are named. What the plugin logs is shown \
with --log plugin=trace.

Examples:
  eventfabric plugin new orders && eventfabric dev orders
  eventfabric dev --events week.ndjson.gz --show 'SELECT count(*) FROM accounts'
  eventfabric dev --copy-from postgres://me@db/shop --stream Account/42 --stream Account/43")]
pub(super) struct Dev {
    /// The folder of the plugin
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Samples: a file of events, as `import` reads it
    #[arg(long, value_name = "FILE", conflicts_with = "copy_from")]
    events: Option<PathBuf>,
    /// Samples: the streams named with --stream, read from this database once
    #[arg(long, value_name = "URL", requires = "stream")]
    copy_from: Option<String>,
    /// A stream to copy, as AGGREGATE/ID; may be repeated
    #[arg(long, value_name = "STREAM", requires = "copy_from", value_parser = stream)]
    stream: Vec<StreamId>,
    /// The tenant of these streams
    #[arg(long, default_value = DEFAULT_TENANT)]
    tenant: String,
    /// Show what this SELECT answers, instead of the tables; may be repeated
    #[arg(long, value_name = "SQL")]
    show: Vec<String>,
    /// Rows of each table or answer that are shown
    #[arg(long, value_name = "N", default_value_t = 5)]
    rows: usize,
}

fn stream(text: &str) -> Result<StreamId, &'static str> {
    match text.split_once('/') {
        Some((aggregate, id)) if !aggregate.is_empty() && !id.is_empty() => {
            Ok(StreamId::new(aggregate, id))
        }
        _ => Err("a stream is named AGGREGATE/ID, such as Account/42"),
    }
}

/// Events to show the plugin's tables by.
struct Samples {
    /// Where they are from.
    from: String,
    events: Vec<Event>,
    /// The settings that go with them.
    config: Option<PluginConfig>,
}

pub(super) async fn run(context: &Context, command: Dev) -> anyhow::Result<()> {
    Language::of(&command.dir)?;
    let given = given(&command).await?;
    let mut changes = Changes::of(std::slice::from_ref(&command.dir), &[])?;
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let context = context.of_author(&command.dir)?;
    let worked = async {
        let host = context.host(None).await?;
        let again = async {
            loop {
                if let Err(error) = once(&host, &command, given.as_ref()).await {
                    output::line(&format!("{} {}", output::bad("error:"), exit::message(&error)))?;
                }
                output::line("waiting for a change; Ctrl-C ends it")?;
                changes.next().await?;
            }
        };
        let ended = tokio::select! {
            ended = again => ended,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        host.close().await;
        ended
    };
    let worked = worked.await;
    context.close().await;
    worked
}

/// The samples that the command names.
async fn given(command: &Dev) -> anyhow::Result<Option<Samples>> {
    if let Some(file) = &command.events {
        let events = of_file(file).await?;
        return Ok(Some(Samples { from: file.display().to_string(), events, config: None }));
    }
    let Some(url) = &command.copy_from else { return Ok(None) };
    let options = url.parse().map_err(|error| exit::bad_input(format!("--copy-from: {error}")))?;
    let pool = db::pool(options, 1);
    reach(&pool).await?;
    let store = EventStore::new(pool.clone());
    let mut events = Vec::new();
    for stream in &command.stream {
        let of = stream.clone().in_tenant(&command.tenant);
        let read: Vec<Event> =
            futures::TryStreamExt::try_collect(store.read_stream(of, Direction::Forward, None))
                .await?;
        if read.is_empty() {
            return Err(exit::bad_input(format!("there is no event of {stream} in that database")));
        }
        events.extend(read);
    }
    db::close(&pool).await;
    events.sort_by_key(|event| event.position);
    let from = "the streams that were copied".to_owned();
    Ok(Some(Samples { from, events, config: None }))
}

/// The events of a file, as an empty log would have them.
pub(super) async fn of_file(file: &Path) -> anyhow::Result<Vec<Event>> {
    let (mut reader, _) = import::open(file, &Count::default()).await?;
    let (mut appends, mut text, source) =
        (Vec::<Append>::new(), String::new(), import::source_name(file));
    let wrong = |number: u64, why: String| {
        exit::bad_input(format!("{}, line {number}: {why}", file.display()))
    };
    for number in 1.. {
        text.clear();
        let read = reader.read_line(&mut text).await;
        if read.map_err(|error| wrong(number, error.to_string()))? == 0 {
            break;
        }
        if text.trim().is_empty() {
            continue;
        }
        let append = line::parse(text.trim(), &source, number, DEFAULT_TENANT, &Default::default());
        appends.push(append.map_err(|why| wrong(number, why))?);
    }
    if appends.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Append::in_empty_log(appends)?)
}

/// The events of the first scenario that can be read.
fn of_scenarios(folder: &Path) -> anyhow::Result<Option<Samples>> {
    for file in scenario::files(folder)? {
        if let Ok(scenario) = Scenario::read(&file)
            && let Ok(events) = scenario::events(&scenario.given)
        {
            let config = Some(PluginConfig::new(scenario.config));
            return Ok(Some(Samples { from: file.display().to_string(), events, config }));
        }
    }
    Ok(None)
}

async fn once(host: &Host, command: &Dev, given: Option<&Samples>) -> anyhow::Result<()> {
    let begun = Instant::now();
    output::line(&format!("\n── {} ──", chrono::Local::now().format("%H:%M:%S")))?;
    let file = build::build(&command.dir, Profile::Release).await?;
    let built = Instant::now();
    let bench = scenario::workbench(host.registry(), &file).await?;
    let shown = show(host, command, given, &bench).await;
    bench.close().await?;
    shown?;
    output::line(&format!(
        "built in {:.1} s, shown in {:.1} s",
        (built - begun).as_secs_f64(),
        built.elapsed().as_secs_f64()
    ))
}

async fn show(
    host: &Host,
    command: &Dev,
    given: Option<&Samples>,
    bench: &Workbench<'_>,
) -> anyhow::Result<()> {
    let folder = scenario::folder_of(&command.dir);
    let outcomes = scenario::all(bench, &folder).await?;
    for outcome in &outcomes {
        output::text(&outcome.lines())?;
    }
    let first;
    let samples = match given {
        Some(samples) => samples,
        None => match of_scenarios(&folder)? {
            Some(samples) => {
                first = samples;
                &first
            }
            None => {
                return output::line("no samples: write a scenario, or name a file with --events");
            }
        },
    };
    let description = &bench.plugin().description;
    let wants = |event: &&Event| description.wants_type(&event.event_type);
    let events: Vec<Event> = samples.events.iter().filter(wants).cloned().collect();
    let config = match &samples.config {
        Some(config) => config.clone(),
        None => host.registry().config(&description.name).await?,
    };
    let rehearsal = Arc::new(Rehearsal::default());
    let scene = Scene {
        events: &events,
        given: &samples.events,
        appends: None,
        config,
        rehearsal: rehearsal.clone(),
    };
    let mut run = bench.run(&scene, BATCH, false).await?;
    let told = tell(command, samples, &events, &mut run).await;
    for kept in rehearsal.kept() {
        let request = output::on_one_line(&scenario::request_line(&kept));
        output::line(&format!("would send {request}"))?;
    }
    // Those of a scenario are told with it.
    if told.is_ok() && given.is_some() {
        failed(&events, &run)?;
    }
    run.end().await?;
    told
}

/// The rows that the samples have left.
async fn tell(
    command: &Dev,
    samples: &Samples,
    events: &[Event],
    run: &mut Run<'_>,
) -> anyhow::Result<()> {
    output::line(&format!(
        "\nafter {} of the {} events of {}:",
        events.len(),
        samples.events.len(),
        samples.from
    ))?;
    for event in &run.appended {
        let data = output::on_one_line(event.payload.get());
        output::line(&format!("appended {} to {}: {data}", event.event_type, event.stream))?;
    }
    if command.show.is_empty() {
        for (table, rows) in run.tables().await? {
            let first = run.read(&whole_table(&table), command.rows).await?;
            output::line(&format!("{table}, {} rows", rows.len()))?;
            print(&first, rows.len())?;
        }
    }
    for sql in &command.show {
        output::line(sql)?;
        match run.read(sql, command.rows).await {
            Ok(answer) => print(&answer, answer.rows.len())?,
            Err(error) => output::line(&format!("{} {error}", output::bad("error:")))?,
        }
    }
    Ok(())
}

/// The events that failed.
fn failed(events: &[Event], run: &Run<'_>) -> anyhow::Result<()> {
    for (index, failure) in run.failed.iter().take(FAILED) {
        let event = &events[*index];
        let class = failure.class().as_str();
        let place = format!("event {} ({} of {})", event.position, event.event_type, event.stream);
        output::line(&format!("{} {place} fails as `{class}`:", output::bad("error:")))?;
        for line in failures::lines(failure) {
            output::line(&format!("  {line}"))?;
        }
    }
    if let Some(more) = run.failed.len().checked_sub(FAILED).filter(|more| *more > 0) {
        output::line(&format!("and {more} more events fail"))?;
    }
    if let Some(failure) = &run.stopped {
        output::line(&format!(
            "{} the plugin stops here, for every event:",
            output::bad("error:")
        ))?;
        for line in failures::lines(failure) {
            output::line(&format!("  {line}"))?;
        }
    }
    Ok(())
}

fn print(table: &TextTable, all: usize) -> anyhow::Result<()> {
    let header = table.columns.iter().map(|(name, _)| name.clone()).collect();
    let mut rows = vec![(' ', header)];
    rows.extend(table.rows.iter().map(|row| (' ', scenario::shown(row))));
    if all > table.rows.len() {
        rows.push((' ', vec!["…".to_owned()]));
    }
    for line in scenario::in_columns(&rows) {
        output::line(&line)?;
    }
    Ok(())
}
