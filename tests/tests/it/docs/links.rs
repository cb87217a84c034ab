//! Every link within the repository leads to a file and a heading that are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use eventfabric_tests::workspace;

use super::{pages, text};

#[test]
fn links_of_the_book_and_the_readme_lead_somewhere() {
    let mut from = pages();
    from.extend(["README.md", "host/ARCHITECTURE.md"].map(|file| workspace().join(file)));
    let broken: Vec<String> = from.iter().flat_map(|page| broken(page)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_summary_once() {
    let listed = pages();
    let set: BTreeSet<PathBuf> = listed.iter().cloned().collect();
    assert_eq!(set.len(), listed.len(), "SUMMARY.md names a page twice");
    let mut there = BTreeSet::new();
    collect(&workspace().join("docs"), &mut there);
    assert_eq!(set, there);
}

/// The pages of a folder; what others include is in `parts`.
fn collect(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("parts") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|end| end == "md") && !path.ends_with("SUMMARY.md") {
            found.insert(path);
        }
    }
}

fn broken(page: &Path) -> Vec<String> {
    let whole = text(page);
    let wrong = |target: &String| {
        let (file, anchor) = target.split_once('#').unwrap_or((target.as_str(), ""));
        let to = if file.is_empty() { page.to_owned() } else { page.with_file_name(file) };
        let there = to.exists() && (anchor.is_empty() || anchors(&text(&to)).contains(anchor));
        (!there).then(|| format!("{}: {target}", page.display()))
    };
    targets(&whole).iter().filter(|target| !target.contains("://")).filter_map(wrong).collect()
}

/// Where the links of a text lead to.
pub(super) fn targets(text: &str) -> Vec<String> {
    let prose = prose(text);
    let ends = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    ends.map(|(target, _)| target.to_owned()).collect()
}

/// The names that headings of a text have in a browser.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let headings = headings.map(|line| line.trim_start_matches('#'));
    headings
        .map(|heading| {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// A text without its blocks of code and, in lines, what stands between backticks.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            // A heading is named with what its code says.
            let parts = line.split('`').enumerate();
            let heading = line.starts_with('#');
            let kept = parts.filter(|(at, part)| heading || at % 2 == 0 || !part.contains("]("));
            prose.extend(kept.map(|(_, part)| part));
            prose.push('\n');
        }
    }
    prose
}
