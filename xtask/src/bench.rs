//! Measurements. What they print is compared within one run only.

use anyhow::Context as _;

use crate::plugins;
use crate::run::{cargo, command, run, target_dir, testdb};

/// The guests that are measured.
const GUESTS: [&str; 3] = ["bench_async", "bench_catch_up", "bench_inline"];

/// Builds the benchmark with optimisation, and runs it on a durable server of its own.
pub fn bench(arguments: &[String]) -> anyhow::Result<()> {
    // The whole host takes a while longer to compile, and only one line needs it.
    let lines = arguments.iter().position(|it| it == "--only").and_then(|at| arguments.get(at + 1));
    let whole = lines.is_none_or(|lines| lines.split(',').any(|it| it == "rebuild" || it == "g"));
    let mut build = cargo(&["build", "--release", "--package", "eventfabric-bench"]);
    if whole {
        build.args(["--package", "eventfabric"]);
    }
    run(&mut build)?;
    plugins::build_only(&GUESTS)?;
    let guests = plugins::file(GUESTS[0]);
    let guests = guests.parent().context("a component is in a folder")?;
    let mut durable = command(testdb()?);
    durable.arg("durable").arg(target_dir().join("release/bench")).arg("--guests").arg(guests);
    if whole {
        durable.arg("--program").arg(target_dir().join("release/eventfabric"));
    }
    run(durable.args(arguments))
}

/// A measurement of the store alone, in `host/benches`: it compiles in a minute.
pub fn of_store(name: &str) -> anyhow::Result<()> {
    let bench = cargo(&["bench", "--package", "eventfabric", "--no-default-features"]);
    let mut durable = command(testdb()?);
    durable.arg("durable").arg(bench.get_program()).args(bench.get_args());
    run(durable.args(["--bench", name]))
}
