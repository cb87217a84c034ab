//! Measurements. What they print is compared within one run only.

use crate::run::{cargo, command, run, testdb};

/// Runs a benchmark of the host, or all of them, on a durable server.
pub fn bench(name: Option<&str>) -> anyhow::Result<()> {
    // The store and its sessions alone: they compile in a minute.
    let mut bench = cargo(&["bench", "--package", "eventfabric", "--no-default-features"]);
    match name {
        Some(name) => bench.args(["--bench", name]),
        None => bench.arg("--benches"),
    };
    let mut durable = command(testdb()?);
    run(durable.arg("durable").arg(bench.get_program()).args(bench.get_args()))
}
