//! What the author of a plugin does all day.

mod capsules;
mod scaffold;
mod scenarios;
mod way;

use std::path::Path;

use eventfabric_tests::{TestDb, wasm, workspace};

use crate::cli::{Said, finish, program};

/// Runs scenarios of a folder on a component.
async fn test(db: &TestDb, component: &str, scenarios: &Path, more: &[&str]) -> Said {
    let (component, url) = (wasm(component), db.url());
    let mut command = program(&["plugin", "test"]);
    command
        .arg(component)
        .arg("--scenarios")
        .arg(scenarios)
        .args(["--database-url", &url])
        .args(more);
    finish(&mut command, b"").await
}

/// The scenarios of an example plugin.
fn scenarios_of(plugin: &str) -> std::path::PathBuf {
    workspace().join("plugins").join(plugin).join("scenarios")
}
