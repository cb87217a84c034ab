//! Measurements. What they print is compared within one run only.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::plugins;
use crate::run::{cargo, command, root, run, target_dir, testdb};

/// The guests that are measured.
const GUESTS: [&str; 4] = ["bench_async", "bench_catch_up", "bench_inline", "carriers"];

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
    for (language, file) in languages()? {
        durable.arg("--language").arg(format!("{language}={}", file.display()));
    }
    run(durable.args(arguments))
}

/// The plugin `carriers` in Rust, and in those other languages in which it was built.
fn languages() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut others = Vec::new();
    for folder in std::fs::read_dir(root().join("plugins"))? {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        let Some(language) = name.strip_prefix("carriers-") else { continue };
        let Ok(built) = std::fs::read_dir(folder.path().join("build")) else { continue };
        let mut files = built.flatten().map(|file| file.path());
        let component = files.find(|it| it.extension().is_some_and(|it| it == "wasm"));
        others.extend(component.map(|file| (language.to_owned(), file)));
    }
    others.sort();
    let rust = ("rust".to_owned(), plugins::file("carriers"));
    Ok(std::iter::once(rust).chain(others).collect())
}

/// A measurement of the store alone, in `host/benches`: it compiles in a minute.
pub fn of_store(name: &str) -> anyhow::Result<()> {
    let bench = cargo(&["bench", "--package", "eventfabric", "--no-default-features"]);
    let mut durable = command(testdb()?);
    durable.arg("durable").arg(bench.get_program()).args(bench.get_args());
    run(durable.args(["--bench", name]))
}
