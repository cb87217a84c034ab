//! The seeded fuzzers.

use anyhow::Context as _;

use crate::plugins;
use crate::run::{cargo, command, run, target_dir, testdb};

/// The component whose bytes are changed.
const GUESTS: [&str; 1] = ["counter_v1"];

/// Builds the host, the guest and the fuzzers, and runs them.
pub fn fuzz(arguments: &[String]) -> anyhow::Result<()> {
    run(&mut cargo(&["build", "--package", "eventfabric", "--package", "eventfabric-fuzz"]))?;
    plugins::build_only(&GUESTS)?;
    run_built(arguments)
}

/// A few rounds of each, every time other ones.
pub fn short() -> anyhow::Result<()> {
    run_built(&["--seconds", "5"].map(str::to_owned))
}

fn run_built(arguments: &[String]) -> anyhow::Result<()> {
    let built = target_dir().join("debug");
    let guests = plugins::file(GUESTS[0]);
    let guests = guests.parent().context("a component is in a folder")?;
    let mut server = command(testdb()?);
    server.arg("run").arg(built.join("fuzz"));
    server.arg("--program").arg(built.join("eventfabric")).arg("--guests").arg(guests);
    run(server.args(arguments))
}
