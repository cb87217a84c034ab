//! The descriptions of the host's SQL statements, by which it compiles without a database.
//!
//! sqlx's macros write one file for each statement while the host is compiled against a database.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, bail};

use crate::run::{cargo, command, root, run, target_dir, testdb};

/// Writes host/.sqlx anew, or compares it with what would be written.
pub fn prepare(check: bool) -> anyhow::Result<()> {
    compile(&["check", "--package", "eventfabric", "--all-targets"])?;
    if check { compare() } else { replace() }
}

/// Runs cargo with these arguments against a scratch database, so that the statements' descriptions
/// are left in [`fresh`].
pub fn compile(arguments: &[&str]) -> anyhow::Result<()> {
    let fresh = fresh();
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| fresh.display().to_string())?;
    }
    fs::create_dir_all(&fresh).with_context(|| fresh.display().to_string())?;
    let cargo = cargo(arguments);
    let mut scratch = command(testdb()?);
    scratch.arg("scratch").arg(cargo.get_program()).args(cargo.get_args());
    scratch.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", &fresh);
    touched(&root().join("host/src/lib.rs"), || run(&mut scratch))
}

/// Makes cargo compile the crate of this file once more during `work`, and not after it.
fn touched(file: &Path, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let set = |time| File::options().append(true).open(file).and_then(|f| f.set_modified(time));
    let modified = || fs::metadata(file).and_then(|meta| meta.modified());
    let before = modified().with_context(|| file.display().to_string())?;
    set(SystemTime::now()).with_context(|| file.display().to_string())?;
    let touched = modified()?;
    let done = work();
    // Unless somebody has edited it meanwhile.
    if modified()? == touched {
        set(before)?;
    }
    done
}

/// Fails when the committed descriptions are not those that [`compile`] has left.
pub fn compare() -> anyhow::Result<()> {
    let (old, new) = (read(&committed())?, read(&fresh())?);
    let missing = new.keys().filter(|file| !old.contains_key(*file));
    let needless = old.keys().filter(|file| !new.contains_key(*file));
    let changed = new.iter().filter(|(file, text)| old.get(*file).is_some_and(|t| t != *text));
    let mut stale: Vec<String> = Vec::new();
    stale.extend(missing.map(|file| format!("missing:  {file}  {}", query(&new[file]))));
    stale.extend(changed.map(|(file, text)| format!("changed:  {file}  {}", query(text))));
    stale.extend(needless.map(|file| format!("needless: {file}  {}", query(&old[file]))));
    if !stale.is_empty() {
        bail!("host/.sqlx is stale; run `cargo xtask prepare` and commit it\n{}", stale.join("\n"));
    }
    println!("host/.sqlx is fresh: {} statements", new.len());
    Ok(())
}

fn replace() -> anyhow::Result<()> {
    let (old, new) = (read(&committed())?, read(&fresh())?);
    fs::create_dir_all(committed())?;
    for file in old.keys().filter(|file| !new.contains_key(*file)) {
        fs::remove_file(committed().join(file))?;
    }
    for (file, text) in &new {
        if old.get(file) != Some(text) {
            fs::write(committed().join(file), text)?;
        }
    }
    println!("host/.sqlx holds {} statements", new.len());
    Ok(())
}

fn committed() -> PathBuf {
    root().join("host/.sqlx")
}

fn fresh() -> PathBuf {
    target_dir().join("sqlx-fresh")
}

/// The descriptions in this folder, by the names of their files.
fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") && name.ends_with(".json") {
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

/// The beginning of the statement that a description is of.
fn query(description: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(description).unwrap_or_default();
    let words = value["query"].as_str().unwrap_or_default().split_whitespace();
    words.take(8).collect::<Vec<_>>().join(" ")
}
