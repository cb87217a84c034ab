//! Many deliveries, and what they leave behind.

use anyhow::Context as _;

use crate::plugins;
use crate::run::{cargo, command, run, target_dir};

/// Builds the guests and the program, and runs it.
pub fn soak(arguments: &[String]) -> anyhow::Result<()> {
    run(&mut cargo(&["build", "--package", "eventfabric-soak"]))?;
    plugins::build_only(&["torture_async", "torture_catchup"])?;
    let guests = plugins::file("torture_async");
    let guests = guests.parent().context("a component is in a folder")?;
    let mut soak = command(target_dir().join("debug/soak"));
    run(soak.arg("--guests").arg(guests).args(arguments))
}
