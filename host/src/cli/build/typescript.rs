//! TypeScript and JavaScript: the SDK's own program, among the packages of the plugin.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use super::tools;
use crate::cli::exit;

/// The SDK's program.
const PROGRAM: &str = "node_modules/@eventfabric/sdk/bin/eventfabric-sdk.js";
/// What npm writes when it has installed all packages.
const INSTALLED: &str = "node_modules/.package-lock.json";
/// What npm goes by.
const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];
/// The oldest Node.js that the SDK runs with.
const OLDEST: u32 = 20;

const GET: &str = "which builds this plugin, is not installed: see https://nodejs.org for Node.js 20 or newer \
                   (Debian: `apt install nodejs npm`)";

/// What is read of `package.json`.
#[derive(Deserialize)]
struct Package {
    name: String,
}

/// The file of the component.
pub(super) async fn build(dir: &Path, out: &Path) -> anyhow::Result<PathBuf> {
    let manifest = dir.join("package.json");
    let package: Package = serde_json::from_slice(&tokio::fs::read(&manifest).await?)
        .map_err(|error| exit::bad_input(format!("{}: {error}", manifest.display())))?;
    let name = package.name.rsplit('/').next().unwrap_or_default().replace('-', "_");
    let file = out.join(name).with_extension("wasm");
    check_node(dir).await?;
    let program = match program(dir)? {
        Some(installed) => installed,
        None => {
            install(dir).await?;
            program(dir)?.ok_or_else(|| {
                exit::bad_input(format!("{} does not name @eventfabric/sdk", manifest.display()))
            })?
        }
    };
    let mut build = tools::tool("node", dir);
    build.arg(program).args(["build", "--out"]).arg(std::path::absolute(&file)?);
    tools::run(&mut build, GET, &format!("build {}", dir.display())).await?;
    Ok(file)
}

async fn check_node(dir: &Path) -> anyhow::Result<()> {
    let Some(version) = tools::ask(tools::tool("node", dir).arg("--version")).await else {
        return Err(exit::bad_input(format!("node, {GET}")));
    };
    let major = version.trim_start_matches('v').split('.').next().and_then(|it| it.parse().ok());
    if major.is_some_and(|major: u32| major < OLDEST) {
        return Err(exit::bad_input(format!(
            "Node.js {OLDEST} or newer is needed, and that of this machine is {version}"
        )));
    }
    Ok(())
}

/// The SDK's program, where it is installed and nothing has changed since: among the plugin's own packages, or
/// those of a workspace around it.
fn program(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let dir = dir.canonicalize()?;
    let Some(home) = dir.ancestors().find(|it| it.join(PROGRAM).is_file()) else { return Ok(None) };
    let changed = |file: &Path| file.metadata().and_then(|it| it.modified()).ok();
    let is_newer = |at: SystemTime| {
        MANIFESTS.iter().any(|file| changed(&dir.join(file)).is_some_and(|it| it > at))
    };
    let stale = home == dir && changed(&dir.join(INSTALLED)).is_none_or(is_newer);
    Ok((!stale).then(|| home.join(PROGRAM)))
}

/// Has npm install what the manifest names.
async fn install(dir: &Path) -> anyhow::Result<()> {
    let is_locked = dir.join(MANIFESTS[1]).is_file();
    let mut npm = tools::tool("npm", dir);
    npm.arg(if is_locked { "ci" } else { "install" }).args(["--no-audit", "--no-fund"]);
    tools::run(&mut npm, GET, "install the packages").await
}
