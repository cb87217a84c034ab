//! Everything that must hold before a change is merged.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::run::{cargo, command, has, run, testdb};
use crate::{bank, fuzz, nats, plugins, prepare, sdks, torture};

/// Runs every step, the later ones also when one fails, and sums up.
pub fn test(arguments: &[String]) -> anyhow::Result<()> {
    let mut steps = Steps::default();
    steps.run("format", || run(&mut cargo(&["fmt", "--all", "--check"])));
    steps.run("plugins", plugins::build);
    // One compilation for both: the lints and the descriptions of the statements.
    steps.run("lints, against a scratch database", || {
        let mut lint = vec!["clippy", "--workspace", "--all-targets"];
        lint.extend(["--", "--deny", "warnings"]);
        prepare::compile(&lint)
    });
    steps.run("statements", prepare::compare);
    steps.run("the library without the host", || {
        let light =
            ["clippy", "--package", "eventfabric", "--no-default-features", "--all-targets"];
        run(cargo(&light).args(["--", "--deny", "warnings"]))
    });
    steps.run("each set of features by itself", || {
        for features in ["runtime", "http", "runtime,embedded", "nats"] {
            let check = ["check", "--package", "eventfabric", "--no-default-features", "--lib"];
            run(cargo(&check).args(["--features", features]))?;
        }
        Ok(())
    });
    steps.run("lints of the guests", lint_guests);
    steps.run("build", || run(&mut cargo(&["build", "--workspace", "--bins"])));
    steps.run("tests", || tests(arguments));
    steps.run("the SDKs of other languages", || sdks::sdks(&[], false));
    steps.run("the bank example", bank::bank);
    steps.run("torture, a short one", torture::short);
    steps.run("fuzzers, short ones", fuzz::short);
    steps.run("documentation tests", || run(&mut cargo(&["test", "--doc", "--workspace"])));
    steps.sum_up()
}

fn lint_guests() -> anyhow::Result<()> {
    let guests = plugins::guests()?;
    if guests.is_empty() {
        return Ok(());
    }
    let mut lint = cargo(&["clippy", "--profile", "plugin", "--target", "wasm32-wasip2"]);
    for guest in &guests {
        lint.args(["--package", guest]);
    }
    run(lint.args(["--", "--deny", "warnings"]))
}

/// The tests, with a server that is started for all of them.
fn tests(arguments: &[String]) -> anyhow::Result<()> {
    let runner = if has(&mut cargo(&["nextest", "--version"])) {
        cargo(&["nextest", "run", "--workspace"])
    } else {
        println!("cargo-nextest is not installed: running `cargo test` instead");
        cargo(&["test", "--workspace", "--lib", "--bins", "--tests"])
    };
    let mut tests = command(testdb()?);
    match nats::server() {
        Ok(server) => tests.env("EVENTFABRIC_TEST_NATS", server),
        Err(missing) => {
            println!("skipped: the tests of relays to NATS: {missing}");
            tests.env("EVENTFABRIC_TEST_NATS", "none")
        }
    };
    tests.arg("run").arg(runner.get_program()).args(runner.get_args()).args(arguments);
    run(&mut tests)
}

#[derive(Default)]
struct Steps {
    done: Vec<(&'static str, Duration, Option<String>)>,
}

impl Steps {
    fn run(&mut self, name: &'static str, step: impl FnOnce() -> anyhow::Result<()>) {
        println!("\n=== {name}");
        let started = Instant::now();
        let error = step().err().map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            println!("{error}");
        }
        self.done.push((name, started.elapsed(), error));
    }

    fn sum_up(self) -> anyhow::Result<()> {
        println!("\n=== summary");
        for (name, took, error) in &self.done {
            let verdict = if error.is_some() { "FAILED" } else { "ok" };
            println!("{verdict:<6} {:>7.1} s  {name}", took.as_secs_f64());
        }
        let failed: Vec<_> = self
            .done
            .iter()
            .filter(|(_, _, error)| error.is_some())
            .map(|(name, ..)| *name)
            .collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        println!("all passed");
        Ok(())
    }
}
