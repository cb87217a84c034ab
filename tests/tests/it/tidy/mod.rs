//! Rules about the sources themselves. Each failure names the file, the line and the rule.

mod imports;
mod names;
mod sql;

use std::path::{Path, PathBuf};

use eventfabric_tests::workspace;

/// A file of the workspace.
struct Source {
    /// From the root of the workspace, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The lines with their numbers from 1, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The same without the unit tests at the end of the file.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().take_while(|(_, line)| *line != "#[cfg(test)]")
    }
}

/// The files of these folders whose names end so.
fn sources(folders: &[&str], ending: &str) -> Vec<Source> {
    let root = workspace();
    let mut found = Vec::new();
    for folder in folders {
        walk(&root.join(folder), &mut |path| {
            if path.to_string_lossy().ends_with(ending) {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source { path, text });
            }
        });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no {ending} in {folders:?}: was it moved?");
    found
}

fn walk(folder: &Path, found: &mut dyn FnMut(PathBuf)) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                walk(&path, found);
            }
        } else {
            found(path);
        }
    }
}

/// Fails with everything that breaks a rule, one a line.
fn none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}
