//! The book in `docs`: its links lead somewhere, its commands do what they say, its code compiles.

mod blocks;
mod console;
mod links;
mod operations;
mod rust;
mod sql;
mod tutorial;

use std::path::{Path, PathBuf};

use eventfabric_tests::workspace;

/// The pages, as SUMMARY.md lists them.
fn pages() -> Vec<PathBuf> {
    let docs = workspace().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    links::targets(&summary).into_iter().map(|page| docs.join(page)).collect()
}

/// A page with what it includes.
fn text(page: &Path) -> String {
    let text = std::fs::read_to_string(page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
    let mut whole = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("{{#include ") {
        let (file, after) = after.split_once("}}").expect("the end of an include");
        whole.push_str(before);
        whole.push_str(&self::text(&page.with_file_name(file)));
        rest = after;
    }
    whole + rest
}
