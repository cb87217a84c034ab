//! The SDKs: their own tests, and a plugin of each kind in each language, built and held against its scenarios.

mod beside;
mod table;
mod tools;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::plugins;
use crate::run::{cargo, command, output, root, run, target_dir};
use table::Results;

/// A language that there is an SDK for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Language {
    Rust,
    Typescript,
    Python,
    Go,
    C,
}

impl Language {
    fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Typescript => "typescript",
            Self::Python => "python",
            Self::Go => "go",
            Self::C => "c",
        }
    }
}

/// Tools of a language that this machine has, or that were fetched.
struct Ready {
    /// Variables and folders of programs with which its plugins are built.
    environment: Vec<(&'static str, String)>,
    /// The tests of the SDK itself, each in its folder.
    tests: Vec<Command>,
}

/// Builds and tests those languages, or all. Those whose tools are missing are named and left out.
/// The results of the others stand in `sdk/README.md`: writes them there, where told to, or else compares.
pub fn sdks(languages: &[Language], update: bool) -> anyhow::Result<()> {
    let all = <Language as clap::ValueEnum>::value_variants();
    let languages = if languages.is_empty() { all } else { languages };
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--workspace",
        "--bin",
        "eventfabric",
        "--bin",
        "xtask",
    ]))?;
    match languages {
        // Those who write the table do so one after the other.
        [_, _, ..] if !update => beside::each_other(languages),
        _ => one_by_one(languages, update),
    }
}

fn one_by_one(languages: &[Language], update: bool) -> anyhow::Result<()> {
    let (mut results, mut failed, mut skipped) = (Results::default(), Vec::new(), Vec::new());
    for language in languages {
        let (name, begun) = (language.folder(), Instant::now());
        println!("\n--- {name}");
        let ready = match tools::ready(*language)? {
            Ok(ready) => ready,
            Err(missing) => {
                println!("skipped: {name}: {missing}");
                skipped.push(format!("{name}: {missing}"));
                continue;
            }
        };
        match of_language(*language, ready) {
            Ok(outcomes) => results.add(name, outcomes),
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
        println!("{name} took {:.1} s", begun.elapsed().as_secs_f64());
    }
    skipped.iter().for_each(|why| println!("skipped: {why}"));
    failed.extend(results.failed());
    failed.extend(results.settle(update).err().map(|error| format!("{error:#}")));
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// The scenarios of the conformance plugin, and how they ended.
fn of_language(language: Language, mut ready: Ready) -> anyhow::Result<Vec<(String, bool)>> {
    ready.tests.iter_mut().try_for_each(run)?;
    let (name, sdks) = (language.folder(), target_dir().join("sdks"));
    let sdk = root().join("sdk").join(name);
    let template = template(&sdks, name)?;
    let example = match language {
        Language::Rust => root().join("plugins/carriers"),
        _ => root().join("plugins").join(format!("carriers-{name}")),
    };
    for folder in [template, example].into_iter().chain(own_plugins(&sdk)?) {
        let component = build(&folder, language, &ready)?;
        let outcomes = test(&component, &folder.join("scenarios"), PATIENT)?;
        if let Some((scenario, _)) = outcomes.iter().find(|(_, ok)| !ok) {
            bail!("{} fails {scenario}", folder.display());
        }
        if folder.ends_with("queries") {
            let said = output(eventfabric().args(["plugin", "inspect", "--json"]).arg(&component))?;
            let described: serde_json::Value = serde_json::from_str(&said)?;
            let has_queries = described["queries"].as_array().is_some_and(|all| !all.is_empty());
            anyhow::ensure!(has_queries, "{} has no queries", component.display());
        }
    }
    let component = build(&sdk.join("conformance"), language, &ready)?;
    let suite = root().join("sdk/conformance");
    let mut outcomes = test(&component, &suite.join("scenarios"), PATIENT)?;
    outcomes.extend(test(&component, &suite.join("endless"), "1s")?);
    Ok(outcomes)
}

/// The plugins in the tests of an SDK: those with scenarios.
fn own_plugins(sdk: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut plugins = Vec::new();
    for tests in ["tests", "testdata"] {
        let Ok(folders) = std::fs::read_dir(sdk.join(tests)) else { continue };
        for folder in folders {
            plugins.extend(Some(folder?.path()).filter(|it| it.join("scenarios").is_dir()));
        }
    }
    plugins.sort();
    Ok(plugins)
}

/// A plugin as `plugin new` makes it. What has not changed is left as it was, so that nothing is built again.
fn template(sdks: &Path, language: &str) -> anyhow::Result<PathBuf> {
    let (fresh, folder) = (sdks.join(language).join("new"), sdks.join(language).join("template"));
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    let mut new = eventfabric();
    new.args(["plugin", "new", "sample", "--lang", language, "--sdk"]).arg(root());
    run(new.arg("--dir").arg(&fresh).stdout(Stdio::null()))?;
    for file in files(&fresh)? {
        let (from, to) = (fresh.join(&file), folder.join(&file));
        let text = std::fs::read(&from)?;
        if std::fs::read(&to).ok().as_ref() != Some(&text) {
            std::fs::create_dir_all(to.parent().context("a file has a folder")?)?;
            std::fs::write(&to, text)?;
        }
    }
    Ok(folder)
}

/// The component of a plugin's folder, built where its files or those of the SDK have changed.
fn build(folder: &Path, language: Language, ready: &Ready) -> anyhow::Result<PathBuf> {
    if language == Language::Rust && folder.starts_with(root()) && !folder.starts_with(target_dir())
    {
        // A member of the workspace, which is built with all the others.
        let package = match folder.ends_with("conformance") {
            true => "conformance",
            false => "carriers",
        };
        plugins::build_only(&[package])?;
        return Ok(plugins::file(package));
    }
    let mut digest = DefaultHasher::new();
    for folder in [folder.to_owned(), root().join("sdk").join(language.folder())] {
        for file in files(&folder)? {
            (&file, std::fs::read(folder.join(&file))?).hash(&mut digest);
        }
    }
    ready.environment.hash(&mut digest);
    let digest = digest.finish().to_string();
    let stamp = folder.join("build/.sources");
    let built = || -> Option<PathBuf> {
        let mut files = std::fs::read_dir(folder.join("build")).ok()?.flatten();
        let is_wasm = |file: &PathBuf| file.extension().is_some_and(|end| end == "wasm");
        files.find_map(|file| Some(file.path()).filter(is_wasm))
    };
    if let Some(component) = built()
        && std::fs::read_to_string(&stamp).ok().as_ref() == Some(&digest)
    {
        println!("{} has not changed", folder.display());
        return Ok(component);
    }
    let mut build = match language {
        // Here the packages are those of the SDK, and none is installed beside the plugin.
        Language::Typescript if !folder.starts_with(target_dir()) => {
            let mut build = command("node");
            build.arg("sdk/typescript/bin/eventfabric-sdk.js").args(["build", "--dir"]).arg(folder);
            build.arg("--out").arg(folder.join("build/plugin.wasm"));
            build
        }
        _ => {
            let mut build = eventfabric();
            build.args(["plugin", "build"]).arg(folder).stdout(Stdio::null());
            build
        }
    };
    build.envs(ready.environment.iter().map(|(name, value)| (name, value)));
    std::fs::create_dir_all(folder.join("build"))?;
    run(&mut build)?;
    std::fs::write(stamp, digest)?;
    built().with_context(|| format!("{} has no component", folder.display()))
}

/// The time of a batch, where nothing is about it: long enough for a busy machine.
const PATIENT: &str = "60s";

/// Runs scenarios with this time for a batch, and says of each how it ended.
fn test(component: &Path, scenarios: &Path, batch: &str) -> anyhow::Result<Vec<(String, bool)>> {
    let mut test = eventfabric();
    test.arg(format!("--embedded={}", target_dir().join("sdks/postgres").display()))
        .env("EVENTFABRIC_LIMITS__BATCH", batch)
        .args(["plugin", "test", "--json"])
        .arg(component)
        .arg("--scenarios")
        .arg(scenarios)
        .stderr(Stdio::inherit());
    let said = test.output()?.stdout;
    let outcomes: Vec<serde_json::Value> = serde_json::from_slice(&said)
        .with_context(|| format!("{} could not be tested", component.display()))?;
    let mut all = Vec::new();
    for outcome in &outcomes {
        let file = Path::new(outcome["file"].as_str().unwrap_or_default());
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let ok = outcome["ok"] == true;
        if !ok {
            println!("FAIL {name}: {}", outcome["problems"]);
        }
        all.push((name, ok));
    }
    println!("{} scenarios of {}", all.len(), component.display());
    Ok(all)
}

/// The program under test. Its cache is that of all runs: components of some languages take long to compile.
fn eventfabric() -> Command {
    let name = format!("eventfabric{}", std::env::consts::EXE_SUFFIX);
    let mut program = command(target_dir().join("debug").join(name));
    program.env("EVENTFABRIC_CACHE_DIR", target_dir().join("sdks/cache"));
    program
}

/// The files of a folder, sorted, without what tools make and what is hidden.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    const MADE: [&str; 5] = ["build", "dist", "node_modules", "target", "__pycache__"];
    let (mut todo, mut files) = (vec![PathBuf::new()], Vec::new());
    while let Some(below) = todo.pop() {
        for entry in std::fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = below.join(&name);
            match entry.file_type()?.is_dir() {
                true if name.starts_with('.') || MADE.contains(&&*name) => {}
                true if name.ends_with(".egg-info") => {}
                true => todo.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    Ok(files)
}
