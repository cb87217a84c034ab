//! The seeded random tester of the delivery.

use anyhow::Context as _;

use crate::plugins;
use crate::run::{cargo, command, run, target_dir};

/// Builds the host, the guests and the tester, and runs it.
pub fn torture(arguments: &[String]) -> anyhow::Result<()> {
    run(&mut cargo(&["build", "--package", "eventfabric", "--package", "eventfabric-torture"]))?;
    plugins::build_only(&["torture_async", "torture_catchup"])?;
    let built = target_dir().join("debug");
    let guests = plugins::file("torture_async");
    let guests = guests.parent().context("a component is in a folder")?;
    let mut tester = command(built.join("torture"));
    tester.arg("--program").arg(built.join("eventfabric")).arg("--guests").arg(guests);
    run(tester.args(arguments))
}
