//! Changes of the files that somebody works on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// After a change, how long nothing must have changed: an editor writes a file in several steps.
const QUIET: Duration = Duration::from_millis(50);

/// Folders and files that tools make.
const MADE: [&str; 5] = ["build", "target", "node_modules", "__pycache__", "Cargo.lock"];

/// Tells when something changes in folders or in single files.
pub(super) struct Changes {
    watcher: RecommendedWatcher,
    hints: mpsc::Receiver<()>,
    folders: Vec<PathBuf>,
    watched: HashSet<PathBuf>,
}

impl Changes {
    /// Of what is in these folders and below, without what tools make there, and of these files.
    ///
    /// # Errors
    /// The system tells of no changes there.
    pub(super) fn of(folders: &[PathBuf], files: &[PathBuf]) -> anyhow::Result<Self> {
        let real = |paths: &[PathBuf]| -> Vec<PathBuf> {
            paths.iter().filter_map(|path| path.canonicalize().ok()).collect()
        };
        let (folders, files) = (real(folders), real(files));
        let (hint, hints) = mpsc::channel(1);
        let (inside, single) = (folders.clone(), files.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let concerns = |path: &PathBuf| {
                single.contains(path) || inside.iter().any(|folder| is_source(folder, path))
            };
            if is_change(event.kind) && event.paths.iter().any(concerns) {
                // Full: there is a hint already.
                let _ = hint.try_send(());
            }
        });
        let watcher = watcher.context("the system does not tell of changed files")?;
        let mut changes = Self { watcher, hints, folders, watched: HashSet::new() };
        changes.watch_new_folders()?;
        for file in files {
            if let Some(folder) = file.parent() {
                changes.watch(folder.to_owned())?;
            }
        }
        Ok(changes)
    }

    /// Waits for a change, and until no more follow. Those since the last call count.
    pub(super) async fn next(&mut self) -> anyhow::Result<()> {
        self.hints.recv().await.context("the system has stopped to tell of changed files")?;
        while tokio::time::timeout(QUIET, self.hints.recv()).await.is_ok_and(|hint| hint.is_some())
        {
        }
        self.watch_new_folders()
    }

    /// Folder by folder, for a recursive watch would take in what tools make.
    fn watch_new_folders(&mut self) -> anyhow::Result<()> {
        let mut todo = self.folders.clone();
        while let Some(folder) = todo.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            let below =
                entries.flatten().filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
            todo.extend(below.map(|entry| entry.path()).filter(|path| !is_made(path)));
            self.watch(folder)?;
        }
        Ok(())
    }

    fn watch(&mut self, folder: PathBuf) -> anyhow::Result<()> {
        if self.watched.contains(&folder) {
            return Ok(());
        }
        self.watcher
            .watch(&folder, RecursiveMode::NonRecursive)
            .with_context(|| format!("changes in {} cannot be followed", folder.display()))?;
        self.watched.insert(folder);
        Ok(())
    }
}

/// Whether a path below a folder is what somebody writes by hand.
fn is_source(folder: &Path, path: &Path) -> bool {
    path.strip_prefix(folder).is_ok_and(|below| !below.ancestors().any(is_made))
}

/// What tools and editors make, and what is hidden.
fn is_made(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else { return false };
    MADE.contains(&&*name) || name.starts_with('.') || name.ends_with('~')
}

/// Whether a notification means that a file may be another one. Reading is none.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_change_of_a_source_is_told_also_in_a_folder_that_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let mut changes = Changes::of(&[dir.path().to_owned()], &[]).unwrap();
        let src = dir.path().join("src");
        std::fs::create_dir(&src).unwrap();
        tokio::time::timeout(WAIT, changes.next()).await.unwrap().unwrap();
        std::fs::write(src.join("lib.rs"), "1").unwrap();
        tokio::time::timeout(WAIT, changes.next()).await.unwrap().unwrap();
    }

    #[test]
    fn what_tools_make_is_no_source() {
        let of = |path: &str| is_source(Path::new("/p"), &Path::new("/p").join(path));
        assert!(of("src/lib.rs") && of("Cargo.toml") && of("scenarios/a.json"));
        for made in [
            "target/x",
            "build/orders.wasm",
            "node_modules/x/index.js",
            ".venv/bin/python",
            "Cargo.lock",
            ".eventfabric/postgres/log",
            "src/.lib.rs.swp",
            "src/a~",
        ] {
            assert!(!of(made), "{made}");
        }
        assert!(!is_source(Path::new("/p"), Path::new("/q/src/lib.rs")));
        // Where the folder itself lies says nothing.
        assert!(is_source(
            Path::new("/home/.x/target/p"),
            Path::new("/home/.x/target/p/src/lib.rs")
        ));
    }
}
