//! Measures what a host does beside the least that the server needs for it: one run, one server, in
//! turns. Figures are compared within one run only. `cargo xtask bench` builds and starts this.
//!
//! A line of the table is a file here; `docs/performance.md` says what each measures.

#![forbid(unsafe_code)]

mod append;
mod async_workers;
mod catch_up;
mod emmett;
mod growth;
mod guest;
mod host;
mod idle;
mod inline;
mod languages;
mod latency;
mod limit;
mod native;
mod neighbours;
mod place;
mod plugin;
mod process;
mod rebuild;
mod sandbox;
mod table;
mod traces;
mod week;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use crate::place::Place;
use crate::table::Row;

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Measures appends, projections and plugins")]
struct Arguments {
    /// Fewer events, fewer rounds: for a first look
    #[arg(long)]
    quick: bool,
    /// Only these lines of the table
    #[arg(long, value_delimiter = ',')]
    only: Vec<Line>,
    /// Writes the table to this file, too, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// The folder of the built guests
    #[arg(long, hide = true)]
    guests: PathBuf,
    /// The eventfabric program, for what only its commands do
    #[arg(long, hide = true)]
    program: Option<PathBuf>,
    /// The plugin `carriers` in a language; the first is the one that the others are measured by
    #[arg(long, hide = true, value_name = "LANGUAGE=FILE")]
    language: Vec<languages::Language>,
}

/// The lines of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Line {
    /// Appends a second, beside plain statements and single rows
    #[value(alias = "a")]
    Append,
    /// Catch-up of a log, beside native programs and one statement
    #[value(alias = "b")]
    CatchUp,
    /// Async delivery by workers
    #[value(alias = "c")]
    Async,
    /// Appends with plugins in their transaction
    #[value(alias = "d")]
    Inline,
    /// From commit to visible in a read model
    #[value(alias = "e")]
    Latency,
    /// Loading, hot reload, instances, calls, crossings
    #[value(alias = "f")]
    Plugin,
    /// Rebuilding a projection in one shard and in two
    #[value(alias = "g")]
    Rebuild,
    /// Beside @event-driven-io/emmett-postgresql
    #[value(alias = "h")]
    Emmett,
    /// Longer logs, more projections
    Growth,
    /// Projections that have nothing to do
    Idle,
    /// What the sandbox costs
    Sandbox,
    /// Beside a projection that uses up all that it may, again and again
    Neighbours,
    /// One plugin in every language
    Languages,
    /// With traces and without
    Traces,
}

/// What every line is given.
struct Bench {
    place: Place,
    guests: PathBuf,
    program: Option<PathBuf>,
    languages: Vec<languages::Language>,
    quick: bool,
}

impl Bench {
    /// How often each way is measured, in turns.
    fn rounds(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// The events of a log that is caught up with.
    fn events(&self) -> i64 {
        if self.quick { 20_000 } else { 100_000 }
    }

    /// For how long something that has no end is measured.
    fn time(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 3 })
    }

    async fn line(&self, line: Line) -> anyhow::Result<Vec<Row>> {
        match line {
            Line::Append => append::measure(self).await,
            Line::CatchUp => catch_up::measure(self).await,
            Line::Async => async_workers::measure(self).await,
            Line::Inline => inline::measure(self).await,
            Line::Latency => latency::measure(self).await,
            Line::Plugin => plugin::measure(self).await,
            Line::Rebuild => rebuild::measure(self).await,
            Line::Emmett => emmett::measure(self).await,
            Line::Growth => growth::measure(self).await,
            Line::Idle => idle::measure(self).await,
            Line::Sandbox => sandbox::measure(self).await,
            Line::Neighbours => neighbours::measure(self).await,
            Line::Languages => languages::measure(self).await,
            Line::Traces => traces::measure(self).await,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let bench = Bench {
        place: Place::find().await?,
        guests: arguments.guests,
        program: arguments.program,
        languages: arguments.language,
        quick: arguments.quick,
    };
    println!("{}, {} cores", bench.place.version, cores());
    let mut table = Vec::new();
    for line in Line::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(line) {
            continue;
        }
        let name = line.to_possible_value().map_or_else(String::new, |it| it.get_name().to_owned());
        let start = Instant::now();
        let mut rows = bench.line(*line).await?;
        rows.iter_mut().for_each(|row| row.line.clone_from(&name));
        println!("\n{name} ({:.0} s)\n{}", start.elapsed().as_secs_f64(), table::show(&rows));
        table.append(&mut rows);
    }
    if let Some(path) = arguments.json {
        std::fs::write(path, table::json(&bench.place.version, cores(), &table)?)?;
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
