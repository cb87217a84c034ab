//! `eventfabric plugin build`: a plugin's own tools make its component.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::connect::Context;
use super::{exit, inspect};

const TARGET: &str = "wasm32-wasip2";

/// Manifests of languages that can make components, and for which there is no SDK yet.
const OTHERS: [(&str, &str); 4] = [
    ("go.mod", "Go"),
    ("package.json", "JavaScript"),
    ("pyproject.toml", "Python"),
    ("CMakeLists.txt", "C"),
];

/// What to build.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eventfabric plugin build
  eventfabric plugin build plugins/orders --json | jq -r .sha256
  eventfabric plugin deploy \"$(eventfabric plugin build --json | jq -r .file)\"")]
pub(super) struct Build {
    /// The folder of the plugin
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// A small file, for a deploy; this is the default
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// Built faster, and slower to load
    #[arg(long)]
    debug: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, command: Build) -> anyhow::Result<()> {
    let profile = if command.debug { Profile::Debug } else { Profile::Release };
    let file = build(&command.dir, profile).await?;
    inspect::run(context, &file, command.json).await
}

/// How a component is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// For a deploy.
    Release,
    /// For who waits for it.
    Debug,
}

/// Refuses a folder that no tool can build.
///
/// # Errors
/// Says what is missing.
pub(super) fn check(dir: &Path) -> anyhow::Result<()> {
    if dir.join("Cargo.toml").is_file() {
        return Ok(());
    }
    let there = dir.display();
    if let Some((manifest, language)) = OTHERS.iter().find(|(file, _)| dir.join(file).is_file()) {
        return Err(exit::bad_input(format!(
            "{there} has a {manifest}, and there is no SDK for {language} yet: build the component with \
             your own tools, and give the file to `plugin inspect`, `plugin test` and `plugin deploy`"
        )));
    }
    Err(exit::bad_input(match dir.is_dir() {
        true => format!(
            "{there} is no plugin: it has no Cargo.toml; `eventfabric plugin new NAME` makes one"
        ),
        false => {
            format!("there is no folder {there}; `eventfabric plugin new NAME` makes a plugin")
        }
    }))
}

/// Has the tools of the plugin's language build it. What they say goes to stderr, as they say it. Answers
/// where the component is.
///
/// # Errors
/// There is nothing to build, the tool is missing, or it fails.
pub(super) async fn build(dir: &Path, profile: Profile) -> anyhow::Result<PathBuf> {
    check(dir)?;
    cargo(dir, profile).await
}

/// What cargo says of what it has made; of its other messages nothing is wanted.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

async fn cargo(dir: &Path, profile: Profile) -> anyhow::Result<PathBuf> {
    let mut command = Command::new("cargo");
    command
        .args(["build", "--lib", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .args((profile == Profile::Release).then_some("--release"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => exit::bad_input(format!(
            "cargo, which builds plugins in Rust, is not installed: see https://rustup.rs, then run \
             `rustup target add {TARGET}`"
        )),
        _ => anyhow::Error::new(error).context("cargo cannot be started"),
    })?;
    let manifest = dir.join("Cargo.toml").canonicalize()?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let (mut lines, mut component) = (BufReader::new(stdout).lines(), None);
    while let Some(line) = lines.next_line().await? {
        let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
        if message.reason == "compiler-artifact" && message.manifest_path == manifest {
            let is_component = |file: &PathBuf| file.extension().is_some_and(|end| end == "wasm");
            component = message.filenames.into_iter().find(is_component).or(component);
        }
    }
    if !child.wait().await?.success() {
        if !has_target(dir).await {
            anyhow::bail!(
                "the Rust toolchain lacks the target {TARGET}: run `rustup target add {TARGET}` (or get it \
                 with your toolchain's own means)"
            );
        }
        anyhow::bail!("cargo could not build {}: see above", dir.display());
    }
    component.ok_or_else(|| {
        exit::bad_input(format!(
            "cargo has built {} and made no component: its Cargo.toml needs, under [lib], \
             crate-type = [\"cdylib\", \"rlib\"]",
            dir.display()
        ))
    })
}

/// Whether the toolchain of this folder has the target; yes, where it does not say.
async fn has_target(dir: &Path) -> bool {
    let mut ask = Command::new("rustc");
    ask.args(["--print", "target-libdir", "--target", TARGET]).current_dir(dir);
    match ask.output().await {
        Ok(said) if said.status.success() => {
            Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_dir()
        }
        _ => true,
    }
}
