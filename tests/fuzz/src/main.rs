//! Seeded fuzzers. Each round is made of one seed, which is printed with what was found and makes
//! the same round again.

#![forbid(unsafe_code)]

mod bodies;
mod components;
mod deeds;
mod grammar;
mod lines;
mod mutate;
mod server_log;
mod statements;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

#[derive(Parser)]
#[command(name = "cargo xtask fuzz", about = "Gives the host what nobody would write by hand")]
struct Arguments {
    /// The first seed; any where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// For how long each of them goes on, in seconds; at least one round is made
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Target>,
    /// The eventfabric program
    #[arg(long, hide = true)]
    program: PathBuf,
    /// The folder of the built guests
    #[arg(long, hide = true)]
    guests: PathBuf,
}

/// What is fuzzed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Statements of a plugin: what the judge lets through touches nothing outside
    Statements,
    /// Ordinary statements, which must not be denied
    Ordinary,
    /// Values on their way to the server and back
    Values,
    /// Components with bits flipped
    Components,
    /// Lines of an NDJSON file
    Lines,
    /// Bodies of HTTP requests
    Bodies,
}

/// What a round was and what it has shown.
#[derive(Debug, Default)]
struct Round {
    /// How often what happened.
    counts: BTreeMap<&'static str, u64>,
    findings: Vec<String>,
}

impl Round {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn found(&mut self, finding: String) {
        self.findings.push(finding);
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let first = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000_000));
    let mut found = false;
    for target in Target::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(target) {
            continue;
        }
        let name =
            target.to_possible_value().map_or_else(String::new, |it| it.get_name().to_owned());
        let (start, mut seed, mut counts) = (Instant::now(), first, BTreeMap::new());
        while seed == first || start.elapsed() < Duration::from_secs(arguments.seconds) {
            let round = round(&arguments, *target, seed).await;
            let round = round.with_context(|| format!("{name}, seed {seed}"))?;
            for (what, count) in round.counts {
                *counts.entry(what).or_insert(0) += count;
            }
            for finding in &round.findings {
                println!("{name}, seed {seed}: {finding}");
            }
            if !round.findings.is_empty() {
                println!("repeat it with --only {name} --seconds 0 --seed {seed}");
                found = true;
                break;
            }
            seed += 1;
        }
        let counts: Vec<String> =
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{name}: seeds {first} to {}, {seconds:.0} s: {}",
            seed.max(first + 1) - 1,
            counts.join(", ")
        );
    }
    Ok(if found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn round(arguments: &Arguments, target: Target, seed: u64) -> anyhow::Result<Round> {
    let mut rng = StdRng::seed_from_u64(seed);
    match target {
        Target::Statements => statements::hostile(&mut rng).await,
        Target::Ordinary => statements::ordinary(&mut rng).await,
        Target::Values => values::round(&mut rng).await,
        Target::Components => components::round(&mut rng, &arguments.guests).await,
        Target::Lines => lines::round(&mut rng, &arguments.program).await,
        Target::Bodies => bodies::round(&mut rng).await,
    }
}
