//! `eventfabric plugin build`: a plugin's own tools make its component.

mod c;
mod component;
mod go;
mod python;
mod rust;
mod tools;
mod typescript;

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::connect::Context;
use super::{exit, inspect};

/// The folder in that of a plugin where its component is.
const BUILT: &str = "build";

/// What to build.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The language is that of the folder: Cargo.toml says Rust, package.json TypeScript, pyproject.toml Python, go.mod
Go, CMakeLists.txt C or C++. The component is DIR/build/NAME.wasm.

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

/// A language that there is an SDK for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    #[default]
    Rust,
    /// And JavaScript
    Typescript,
    Python,
    Go,
    /// And C++
    C,
}

impl Language {
    /// The file in a plugin's folder that says that it is written in this one.
    fn manifest(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Typescript => "package.json",
            Self::Python => "pyproject.toml",
            Self::Go => "go.mod",
            Self::C => "CMakeLists.txt",
        }
    }

    /// The folder of its SDK, in `sdk`.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Typescript => "typescript",
            Self::Python => "python",
            Self::Go => "go",
            Self::C => "c",
        }
    }

    /// The language of a plugin's folder.
    ///
    /// # Errors
    /// Says what is missing.
    pub(super) fn of(dir: &Path) -> anyhow::Result<Self> {
        let all = Self::value_variants();
        if let Some(language) = all.iter().find(|it| dir.join(it.manifest()).is_file()) {
            return Ok(*language);
        }
        let there = dir.display();
        Err(exit::bad_input(match dir.is_dir() {
            true => {
                let manifests: Vec<_> = all.iter().map(|language| language.manifest()).collect();
                format!(
                    "{there} is no plugin: it has no {}; `eventfabric plugin new NAME` makes one",
                    manifests.join(", ")
                )
            }
            false => {
                format!("there is no folder {there}; `eventfabric plugin new NAME` makes a plugin")
            }
        }))
    }
}

/// Has the tools of the plugin's language build it. What they say goes to stderr, as they say it. Answers
/// where the component is.
///
/// # Errors
/// There is nothing to build, a tool is missing, or it fails.
pub(super) async fn build(dir: &Path, profile: Profile) -> anyhow::Result<PathBuf> {
    let out = dir.strip_prefix(".").unwrap_or(dir).join(BUILT);
    match Language::of(dir)? {
        Language::Rust => rust::build(dir, &out, profile).await,
        Language::Typescript => typescript::build(dir, &out).await,
        Language::Python => python::build(dir, &out).await,
        Language::Go => go::build(dir, &out).await,
        Language::C => c::build(dir, &out, profile).await,
    }
}
