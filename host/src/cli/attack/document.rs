//! The table of attacks in `docs/security.md`, between two marks.

use std::fmt::Write as _;

use super::by;
use super::tests::Tried;
use crate::sandbox::attack::{Group, Stop};

/// The version of PostgreSQL that the tables are of.
pub(super) const VERSION: i32 = 15;

/// Fails where the document has another table of a group than its attacks make.
pub(super) fn compare(group: Group, tried: &[Tried]) {
    let path = eventfabric_testdb::workspace().join("docs/security.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = marks(group);
    let (before, rest) = document.split_once(&begin).expect("the beginning of the table");
    let (_, after) = rest.split_once(&end).expect("the end of the table");
    let made = format!("{before}{begin}{}{end}{after}", table(group, tried));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).unwrap();
        return;
    }
    assert!(
        made == document,
        "docs/security.md tells other attacks than there are. If the attacks are right, \
         UPDATE_GOLDEN=1 target/debug/testdb run cargo nextest run -p eventfabric -j 1 \
         -E 'test(attacks_)'"
    );
}

/// What stands before and after the table of a group.
fn marks(group: Group) -> (String, String) {
    let name = group.title();
    (format!("<!-- attacks: {name} -->\n"), format!("<!-- end of attacks: {name} -->\n"))
}

fn table(group: Group, tried: &[Tried]) -> String {
    let mut text = String::new();
    let mut reasons: Vec<&str> = Vec::new();
    let count = |stopped: fn(&Tried) -> bool| tried.iter().filter(|t| stopped(t)).count();
    let _ = writeln!(
        text,
        "\n### {}\n\n{} attacks: all are stopped with both walls, {} with the first alone, {} with the \
         second alone.\n",
        group.title(),
        tried.len(),
        count(|t| t.one.is_some()),
        count(|t| t.two.is_some()),
    );
    text.push_str("| attack | both walls | the first alone | the second alone |\n");
    text.push_str("| --- | --- | --- | --- |\n");
    for Tried { attack, both, one, two, .. } in tried {
        let mut cell = |stopped: &Option<Stop>, reason: Option<&'static str>| match reason {
            None => by(*stopped).to_owned(),
            Some(reason) => {
                let at = reasons.iter().position(|known| *known == reason);
                let at = at.unwrap_or_else(|| {
                    reasons.push(reason);
                    reasons.len() - 1
                });
                format!("– ({})", at + 1)
            }
        };
        let one = cell(one, attack.passes_one);
        let two = cell(two, attack.passes_two);
        let _ = writeln!(text, "| {} | {} | {one} | {two} |", attack.name, by(*both));
    }
    if !reasons.is_empty() {
        text.push_str("\nWhat a wall alone does not stop, and why:\n\n");
    }
    for (number, reason) in (1..).zip(reasons) {
        let _ = writeln!(text, "{number}. {reason}");
    }
    text.push('\n');
    text
}

/// Whether a Rust file in this folder or below has a function of this name.
fn defines(folder: &std::path::Path, name: &str) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return defines(&path, name);
        }
        path.extension().is_some_and(|end| end == "rs")
            && std::fs::read_to_string(&path).unwrap().contains(&format!("fn {name}("))
    })
}

#[test]
fn the_tests_of_the_third_wall_that_the_document_names_exist() {
    let root = eventfabric_testdb::workspace();
    let document = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let (_, components) = document.split_once("\n### Components\n").unwrap();
    let rows = components.lines().filter(|line| line.ends_with("` |"));
    let names: Vec<&str> = rows.filter_map(|row| row.rsplit('`').nth(1)).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let exists = ["tests/tests/it", "host/src"].iter().any(|at| defines(&root.join(at), name));
        assert!(exists, "docs/security.md names the test {name}, and there is none");
    }
}
