//! Runs the bank example twice on one private database, and compares what it prints.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::run::{cargo, command, output, run, target_dir, testdb};

/// What it must say, in this order. (The names of its accounts are new in each run.)
const LINES: [&str; 10] = [
    "is at version 2",
    "is at version 1",
    "Ada has 7000 cents, Grace 3000",
    "refused: Ada has 7000 cents only",
    "Grace has 3500 cents",
    "Ada has 13000 cents, the stream is at version 63",
    "her snapshot is of version 50",
    "Ada: 13000 cents",
    "Grace: 3500 cents",
    "to Grace: ",
];

/// The second run finds tables, plugin and accounts of the first one.
pub fn bank() -> anyhow::Result<()> {
    // With the features of the whole workspace, as everything else is compiled.
    run(&mut cargo(&["build", "--workspace", "--example", "bank"]))?;
    let wanted = target_dir().join("bank-example");
    let dir = output(command(testdb()?).arg("reachable").arg(&wanted))?;
    let dir = Path::new(dir.trim());
    if dir.is_dir() {
        run(command(testdb()?).arg("stop-in").arg(dir))?;
        fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    let program = target_dir().join("debug/examples/bank");
    for time in ["first", "second"] {
        let embedded = format!("--embedded={}", dir.display());
        let said = output(command(&program).arg(embedded).env_remove("DATABASE_URL"))?;
        compare(&said).with_context(|| format!("the {time} run of the bank example:\n{said}"))?;
        ensure!(!dir.join("data/postmaster.pid").exists(), "the {time} run left its server behind");
    }
    println!("the bank example says what it should, twice");
    Ok(())
}

fn compare(said: &str) -> anyhow::Result<()> {
    let mut lines = said.lines();
    for wanted in LINES {
        ensure!(lines.any(|line| line.contains(wanted)), "nothing more says: {wanted}");
    }
    let to_grace = said.lines().filter(|line| line.starts_with("to Grace: ")).count();
    ensure!(to_grace == 3, "Grace has {to_grace} notifications instead of 3");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_missing_or_out_of_its_place_is_told() {
        let good = LINES.join("\n") + "\nto Grace: 2\nto Grace: 3";
        compare(&good).unwrap();
        let other = good.replace("Grace has 3500", "Grace has 3499");
        assert!(compare(&other).unwrap_err().to_string().contains("Grace has 3500 cents"));
        assert!(compare(&(good + "\nto Grace: 4")).is_err());
    }
}
