//! Builds the guests: the example plugins, and the components that the tests load.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::run::{cargo, command, output, root, run, target_dir};

const TARGET: &str = "wasm32-wasip2";

/// Folders whose packages are guests.
const FOLDERS: [&str; 3] = ["plugins", "sdk/rust/conformance", "tests/guests"];

/// Builds all of them with the profile `plugin`.
pub fn build() -> anyhow::Result<()> {
    let guests = guests()?;
    build_only(&guests.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The component that a package is built to.
pub fn file(package: &str) -> PathBuf {
    let dir = target_dir().join(TARGET).join("plugin");
    dir.join(format!("{}.wasm", package.replace('-', "_")))
}

/// Builds some of them with the profile `plugin`.
pub fn build_only(guests: &[&str]) -> anyhow::Result<()> {
    add_target()?;
    let mut build = cargo(&["build", "--profile", "plugin", "--target", TARGET]);
    for guest in guests {
        build.args(["--package", guest]);
    }
    run(&mut build)?;
    for guest in guests {
        let path = file(guest);
        let size = std::fs::metadata(&path).with_context(|| path.display().to_string())?.len();
        println!("{:>9} bytes  {}", size, path.display());
    }
    Ok(())
}

/// Names of the workspace's components in the folders of guests.
pub fn guests() -> anyhow::Result<Vec<String>> {
    let metadata = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let mut guests: Vec<String> = packages
        .iter()
        .filter(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
            folders.iter().any(|folder| manifest.starts_with(folder)) && is_component(package)
        })
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect();
    guests.sort();
    Ok(guests)
}

/// Whether a package is a guest itself, and not a library that guests share.
fn is_component(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .flat_map(|target| target["crate_types"].as_array().into_iter().flatten())
        .any(|kind| kind == "cdylib")
}

/// Adds the target to the toolchain where it is missing.
fn add_target() -> anyhow::Result<()> {
    let sysroot = output(command("rustc").args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    println!("adding the target {TARGET} to the Rust toolchain");
    run(command("rustup").args(["target", "add", TARGET])).with_context(|| {
        format!("the target {TARGET} is missing; add it with your toolchain's own means")
    })
}
