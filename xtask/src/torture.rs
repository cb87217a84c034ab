//! The seeded random tester of the delivery.

use anyhow::Context as _;

use crate::plugins;
use crate::run::{cargo, command, run, target_dir};

/// Projections of the hosts, one a mode and kind.
const GUESTS: [&str; 5] =
    ["torture_aside", "torture_async", "torture_catchup", "torture_inline", "torture_ordered"];

/// Builds the host, the guests and the tester, and runs it.
pub fn torture(arguments: &[String]) -> anyhow::Result<()> {
    run(&mut cargo(&["build", "--package", "eventfabric", "--package", "eventfabric-torture"]))?;
    plugins::build_only(&GUESTS)?;
    run_built(arguments)
}

/// What every change must survive: half a minute of two hosts with every kind of projection, by chance
/// each time another one.
pub fn short() -> anyhow::Result<()> {
    let short =
        ["--hosts", "2", "--seconds", "25", "--with", "set-aside,stream-order"].map(str::to_owned);
    run_built(&short)
}

fn run_built(arguments: &[String]) -> anyhow::Result<()> {
    let built = target_dir().join("debug");
    let guests = plugins::file(GUESTS[0]);
    let guests = guests.parent().context("a component is in a folder")?;
    let mut tester = command(built.join("torture"));
    tester.arg("--program").arg(built.join("eventfabric")).arg("--guests").arg(guests);
    run(tester.args(arguments))
}
