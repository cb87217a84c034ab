//! Short files under names of the field.

use super::{none, sources};

/// A file past this is two.
const LINES: usize = 500;

/// Names that say nothing of what is inside.
const EMPTY_WORDS: [&str; 10] = [
    "util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "shared", "base",
];

#[test]
fn no_file_of_the_host_is_long() {
    let broken: Vec<String> = sources(&["host"], ".rs")
        .iter()
        .filter(|source| source.text.lines().count() > LINES)
        .map(|source| {
            let lines = source.text.lines().count();
            format!("{}: {lines} lines; more than {LINES} are two files", source.path)
        })
        .collect();
    none(&broken);
}

/// The word without a meaning in a name such as `sql_helpers`.
fn empty_word(name: &str) -> Option<&'static str> {
    EMPTY_WORDS.into_iter().find(|word| name.split('_').any(|part| part == *word))
}

#[test]
fn no_module_is_named_after_nothing() {
    let mut broken = Vec::new();
    for source in sources(&["host", "sdk/rust", "tests", "xtask", "plugins"], ".rs") {
        for part in source.path.trim_end_matches(".rs").split('/') {
            if let Some(word) = empty_word(part) {
                broken.push(format!("{}: `{word}` says nothing of what is inside", source.path));
            }
        }
        for (number, line) in source.code() {
            let words: Vec<&str> = line.trim().split([' ', ';', '(', ')']).collect();
            let name =
                words.iter().position(|word| *word == "mod").and_then(|at| words.get(at + 1));
            if let Some(word) = name.and_then(|name| empty_word(name)) {
                let path = &source.path;
                broken.push(format!("{path}:{number}: `{word}` says nothing of what is inside"));
            }
        }
    }
    none(&broken);
}

#[test]
fn a_name_is_judged_by_its_words() {
    assert_eq!(empty_word("sql_helpers"), Some("helpers"));
    assert_eq!(empty_word("util"), Some("util"));
    assert_eq!(empty_word("database"), None);
    assert_eq!(empty_word("commonwealth"), None);
}
