//! The table of attacks in `docs/security.md`, between two marks.

use std::fmt::Write as _;

use super::by;
use super::tests::Tried;
use crate::sandbox::attack::{Group, Stop};

const BEGIN: &str = "<!-- the attacks, as the tests have tried them -->\n";
const END: &str = "<!-- the end of the attacks -->\n";

/// Fails where the document has another table than the attacks make.
pub(super) fn compare(all: &[(Group, Vec<Tried>)]) {
    let path = eventfabric_testdb::workspace().join("docs/security.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the beginning of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let made = format!("{before}{BEGIN}{}{END}{after}", table(all));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).unwrap();
        return;
    }
    assert!(
        made == document,
        "docs/security.md tells other attacks than there are. If the attacks are right, \
         UPDATE_GOLDEN=1 target/debug/testdb run cargo nextest run -p eventfabric -E 'test(attack)'"
    );
}

fn table(all: &[(Group, Vec<Tried>)]) -> String {
    let mut text = String::new();
    let mut reasons: Vec<&str> = Vec::new();
    let tried = || all.iter().flat_map(|(_, tried)| tried);
    let count = |stopped: fn(&Tried) -> bool| tried().filter(|t| stopped(t)).count();
    let _ = writeln!(
        text,
        "\n{} attacks: all are stopped with both walls, {} with the first alone, {} with the second \
         alone.",
        tried().count(),
        count(|t| t.one.is_some()),
        count(|t| t.two.is_some()),
    );
    for (group, tried) in all {
        let _ = writeln!(text, "\n### {}\n", group.title());
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
    }
    text.push_str("\nWhat a wall alone does not stop, and why:\n\n");
    for (number, reason) in (1..).zip(reasons) {
        let _ = writeln!(text, "{number}. {reason}");
    }
    text.push('\n');
    text
}
