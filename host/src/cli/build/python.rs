//! Python: the SDK's own program, in an environment that belongs to the plugin.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format as _, Toml};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::tools;
use crate::cli::exit;

/// Names an environment that somebody has activated.
const ACTIVE: &str = "VIRTUAL_ENV";
/// Where the environment is, in the folder of the plugin.
const ENVIRONMENT: &str = ".venv";
/// Which packages it has.
const INSTALLED: &str = ".venv/.eventfabric";
/// The oldest one that the SDK runs with.
const OLDEST: (u32, u32) = (3, 10);

const GET: &str = "which builds this plugin, is not installed: see https://www.python.org (Debian: `apt \
                   install python3 python3-venv`)";

/// The file of the component. It is made anew when something has changed, for the same sources give other
/// bytes each time.
pub(super) async fn build(dir: &Path, out: &Path) -> anyhow::Result<PathBuf> {
    let manifest = dir.join("pyproject.toml");
    let name: String = Figment::from(Toml::file_exact(&manifest))
        .extract_inner("project.name")
        .map_err(|error| exit::bad_input(format!("{}: {error}", manifest.display())))?;
    let file = out.join(name.replace('-', "_")).with_extension("wasm");
    let python = match active(dir).await {
        Some(python) => python,
        None => environment(dir, &manifest).await?,
    };
    let mut build = tools::tool(python, dir);
    build.args(["-m", "eventfabric.build", "build", ".", "--out"]).arg(std::path::absolute(&file)?);
    tools::run(&mut build, GET, &format!("build {}", dir.display())).await?;
    Ok(file)
}

/// The interpreter of the environment that is active, where the SDK is in it.
async fn active(dir: &Path) -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os(ACTIVE)?).join("bin/python");
    let mut has = tools::tool(&python, dir);
    tools::ask(has.args(["-c", "import eventfabric.build"])).await.map(|_| python)
}

/// The interpreter of the plugin's environment, which is made, and gets its packages, when it has not what the
/// manifest names.
async fn environment(dir: &Path, manifest: &Path) -> anyhow::Result<PathBuf> {
    let python = std::path::absolute(dir.join(ENVIRONMENT).join("bin/python"))?;
    let named = hex::encode(Sha256::digest(tokio::fs::read(manifest).await?));
    let installed = dir.join(INSTALLED);
    let there = tokio::fs::read_to_string(&installed).await.ok();
    if python.exists() && there.as_deref() == Some(&named) {
        return Ok(python);
    }
    if !python.exists() {
        let mut make = system(dir).await?;
        make.args(["-m", "venv", ENVIRONMENT]);
        tools::run(&mut make, GET, "make an environment (Debian: `apt install python3-venv`)")
            .await?;
    }
    eprintln!("installing what {} names in {ENVIRONMENT}", manifest.display());
    let mut install = tools::tool(&python, dir);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--editable", "."]);
    tools::run(&mut install, GET, "install the packages").await?;
    tokio::fs::write(installed, named).await?;
    Ok(python)
}

/// The interpreter of this machine.
async fn system(dir: &Path) -> anyhow::Result<Command> {
    let mut old = None;
    for name in ["python3", "python"] {
        let mut version = tools::tool(name, dir);
        version.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
        let Some(said) = tools::ask(&mut version).await else { continue };
        let parts: Vec<u32> = said.split('.').filter_map(|part| part.parse().ok()).collect();
        match parts[..] {
            [major, minor] if (major, minor) >= OLDEST => return Ok(tools::tool(name, dir)),
            _ => old = Some(said),
        }
    }
    Err(exit::bad_input(match old {
        None => format!("python3, {GET}"),
        Some(old) => {
            let (major, minor) = OLDEST;
            format!("Python {major}.{minor} or newer is needed, and that of this machine is {old}")
        }
    }))
}
