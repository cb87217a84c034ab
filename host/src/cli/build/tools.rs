//! Running the tools of languages.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::{Child, Command};

use crate::cli::exit;

/// A tool that works in the folder of a plugin, and ends with this program. What it prints goes to stderr.
pub(super) fn tool(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .kill_on_drop(true);
    command
}

/// Starts a tool.
///
/// # Errors
/// It is not there: says what it is for and how to `get` it.
pub(super) fn start(command: &mut Command, get: &str) -> anyhow::Result<Child> {
    let name = name_of(command);
    command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => exit::bad_input(format!("{name}, {get}")),
        _ => anyhow::Error::new(error).context(format!("{name} cannot be started")),
    })
}

/// Runs a tool to its end.
///
/// # Errors
/// It is not there, or it fails: says `what` it could not do.
pub(super) async fn run(command: &mut Command, get: &str, what: &str) -> anyhow::Result<()> {
    let name = name_of(command);
    let ended = start(command, get)?.wait().await?;
    anyhow::ensure!(ended.success(), "{name} could not {what}: see above");
    Ok(())
}

/// What a tool answers, in one line; nothing where it is not there or fails.
pub(super) async fn ask(command: &mut Command) -> Option<String> {
    let said = command.stdout(Stdio::piped()).stderr(Stdio::null()).output().await.ok()?;
    let text = said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())?;
    Some(text.trim().to_owned())
}

/// Writes a component, where it is another one: a new time would have who watches the file look at it again.
pub(super) async fn put(folder: &Path, name: &str, component: &[u8]) -> anyhow::Result<PathBuf> {
    let file = folder.join(name).with_extension("wasm");
    if tokio::fs::read(&file).await.ok().as_deref() != Some(component) {
        let cannot = || format!("cannot write {}", file.display());
        tokio::fs::create_dir_all(folder).await.with_context(cannot)?;
        tokio::fs::write(&file, component).await.with_context(cannot)?;
    }
    Ok(file)
}

fn name_of(command: &Command) -> String {
    let program = Path::new(command.as_std().get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}
