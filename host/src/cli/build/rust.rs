//! Rust: by cargo.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::tools::{self, put, start, tool};
use super::{Profile, component};
use crate::cli::exit;

/// The targets that a component can be made by, the better one first: of the first one it has nothing of WASI
/// in it, is smaller and starts faster.
const TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip2"];

/// Where the manifest names one of them.
const SETTING: &str = "package.metadata.eventfabric.target";

/// What cargo says of what it has made; of its other messages nothing is wanted.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The file of the component.
pub(super) async fn build(dir: &Path, out: &Path, profile: Profile) -> anyhow::Result<PathBuf> {
    let target = target(dir).await?;
    let mut command = tool("cargo", dir);
    command
        .args(["build", "--lib", "--target", target])
        .args(["--message-format", "json-render-diagnostics"])
        .args((profile == Profile::Release).then_some("--release"))
        .args(same_paths(target).into_iter().flatten())
        .stdout(Stdio::piped());
    let get = format!(
        "which builds plugins in Rust, is not installed: see https://rustup.rs, then run `rustup target add {target}`"
    );
    let mut child = start(&mut command, &get)?;
    let manifest = dir.join("Cargo.toml").canonicalize()?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let (mut lines, mut made) = (BufReader::new(stdout).lines(), None);
    while let Some(line) = lines.next_line().await? {
        let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
        if message.reason == "compiler-artifact" && message.manifest_path == manifest {
            let is_wasm = |file: &PathBuf| file.extension().is_some_and(|end| end == "wasm");
            made = message.filenames.into_iter().find(is_wasm).or(made);
        }
    }
    anyhow::ensure!(
        child.wait().await?.success(),
        "cargo could not build {}: see above",
        dir.display()
    );
    let made = made.ok_or_else(|| {
        exit::bad_input(format!(
            "cargo has built {} and made no component: its Cargo.toml needs, under [lib], \
             crate-type = [\"cdylib\", \"rlib\"]",
            dir.display()
        ))
    })?;
    let bytes = tokio::fs::read(&made).await?;
    let name = made.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = match component::is_component(&bytes)? {
        true => bytes,
        false => component::of_module(&bytes).context(
            "a crate that it uses needs what only a browser or WASI has: leave that out, or put \
             `target = \"wasm32-wasip2\"` under [package.metadata.eventfabric] in Cargo.toml",
        )?,
    };
    put(out, &name, &bytes).await
}

/// The target that the manifest asks for, or else the best one that the toolchain has.
async fn target(dir: &Path) -> anyhow::Result<&'static str> {
    let manifest = Figment::from(Toml::file_exact(dir.join("Cargo.toml")));
    let asked: Vec<&str> = match manifest.extract_inner::<String>(SETTING) {
        Err(_) => TARGETS.to_vec(),
        Ok(asked) => match TARGETS.into_iter().find(|target| *target == asked) {
            Some(target) => vec![target],
            None => {
                return Err(exit::bad_input(format!(
                    "{SETTING} in Cargo.toml is {asked:?}; a plugin is built for {}",
                    TARGETS.join(" or ")
                )));
            }
        },
    };
    for target in &asked {
        if has(dir, target).await {
            return Ok(target);
        }
    }
    Err(exit::bad_input(format!(
        "the Rust toolchain lacks the target {0}: run `rustup target add {0}` (or get it with your \
         toolchain's own means)",
        asked[0]
    )))
}

/// A panic names a file of a crate; where that is on this machine is nobody's concern, and would make other bytes
/// on each.
fn same_paths(target: &str) -> Option<[String; 2]> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir()?.join(".cargo"),
    };
    let flag = serde_json::Value::from(format!("--remap-path-prefix={}=/cargo", home.display()));
    Some(["--config".to_owned(), format!("target.{target}.rustflags=[{flag}]")])
}

/// Whether the toolchain of this folder has a target; yes, where it does not say.
async fn has(dir: &Path, target: &str) -> bool {
    let mut ask = tool("rustc", dir);
    ask.args(["--print", "target-libdir", "--target", target]);
    tools::ask(&mut ask).await.is_none_or(|folder| Path::new(&folder).is_dir())
}
