//! A seeded random tester. Host processes share one PostgreSQL, writers append in every way that
//! there is, and a nemesis kills, pauses, cuts and swaps what it can. At the end a checker compares
//! what was committed with what was applied.
//!
//! The seed decides what is done; the machine decides when. A run is repeated with the same seed
//! until it is found again.

#![forbid(unsafe_code)]

mod checker;
mod guests;
mod hosts;
mod nemesis;
mod outcome;
mod plan;
mod proxy;
mod stores;
mod world;
mod writers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use crate::guests::Extra;
use crate::hosts::Hosts;
use crate::outcome::Stage;
use crate::stores::Stores;
use crate::world::World;
use crate::writers::Ledger;

#[derive(Parser)]
#[command(about = "Tortures hosts on a PostgreSQL of their own, and checks what came of it")]
struct Arguments {
    /// What decides everything that is decided by chance; any where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// For how long events are written and things go wrong
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Host processes
    #[arg(long, default_value_t = 3)]
    hosts: usize,
    /// Writers
    #[arg(long, default_value_t = 6)]
    writers: usize,
    /// Runs of this length one after the other, each with the next seed
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Projections beyond one of each mode
    #[arg(long, value_enum, value_delimiter = ',')]
    with: Vec<Extra>,
    /// The eventfabric program
    #[arg(long)]
    program: std::path::PathBuf,
    /// The folder of the built guests
    #[arg(long)]
    guests: std::path::PathBuf,
}

/// A source of chance for each part of a run, so that one does not shift the others.
fn chance(seed: u64, part: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(part))
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let first = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    for seed in first..first + arguments.runs {
        let findings = run(&arguments, seed).await.with_context(|| format!("seed {seed}"))?;
        if !findings.is_empty() {
            println!("seed {seed}: {} findings", findings.len());
            for finding in findings {
                println!("  - {finding}");
            }
            println!("repeat it with --seed {seed}");
            return Ok(ExitCode::FAILURE);
        }
        println!("seed {seed}: nothing found");
    }
    Ok(ExitCode::SUCCESS)
}

/// One run. Answers what was found.
async fn run(arguments: &Arguments, seed: u64) -> anyhow::Result<Vec<String>> {
    println!("seed {seed}: {} s, {} hosts", arguments.seconds, arguments.hosts);
    let world = Arc::new(World::new(seed).await?);
    let guests = guests::chosen(&arguments.with);
    let hosts =
        Hosts::start(&world, &arguments.program, &arguments.guests, guests, arguments.hosts).await;
    let hosts = Arc::new(hosts?);
    let stores = Stores::open(&world, hosts.guests.len()).await?;

    let stop = CancellationToken::new();
    let mut writing = tokio::task::JoinSet::new();
    for number in 0..arguments.writers {
        let chance = chance(seed, 100 + number as u64);
        writing.spawn(writers::write(stores.clone(), chance, number, stop.clone()));
    }
    let nemesis = nemesis::rage(world.clone(), hosts.clone(), chance(seed, 1), stop.clone());
    let end = async {
        tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
        stop.cancel();
    };
    let (deeds, ()) = tokio::join!(nemesis, end);
    let deeds = deeds.context("the nemesis")?;
    let mut ledger = Ledger::default();
    while let Some(written) = writing.join_next().await {
        ledger.add(written.context("a writer")??);
    }
    println!("  {}; {deeds}", ledger.summary());

    stores.close().await;
    let mut findings = checker::settle(&world, &hosts, Stage::Tortured).await?;
    if findings.is_empty() {
        findings = checker::heal(&world, &hosts, chance(seed, 2)).await?;
    }
    findings.extend(checker::check(&world, &ledger).await?);
    findings.extend(hosts.findings().await?);
    hosts.stop().await;
    if findings.is_empty() {
        world.remove().await?;
    } else {
        println!("  left for you to look at: {}", world.dir().display());
    }
    Ok(findings)
}
