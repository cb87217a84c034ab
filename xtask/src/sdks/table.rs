//! The table of results in `sdk/README.md`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};

use crate::run::root;

const BEGIN: &str = "<!-- results: written by `cargo xtask sdks --update` -->\n";
const END: &str = "<!-- end of results -->\n";
/// Marks of a scenario.
const GOOD: &str = "yes";
const BAD: &str = "**no**";
const UNKNOWN: &str = "";

/// By language: its scenarios, and whether each went well.
#[derive(Default)]
pub struct Results(BTreeMap<String, BTreeMap<String, bool>>);

impl Results {
    pub fn add(&mut self, language: &str, outcomes: Vec<(String, bool)>) {
        self.0.insert(language.to_owned(), outcomes.into_iter().collect());
    }

    /// Those that did not go well.
    pub fn failed(&self) -> Vec<String> {
        let of = |(language, outcomes): (&String, &BTreeMap<String, bool>)| {
            let bad = outcomes.iter().filter(|(_, ok)| !**ok);
            bad.map(|(scenario, _)| format!("{language} fails {scenario}")).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Compares with what stands in the README, or writes it there. Columns of languages that were not tried
    /// stay as they are.
    pub fn settle(&self, update: bool) -> anyhow::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let file = root().join("sdk/README.md");
        let text = std::fs::read_to_string(&file)?;
        let (before, rest) = text.split_once(BEGIN).context("sdk/README.md has no place for it")?;
        let (old, after) = rest.split_once(END).context("sdk/README.md has no end of it")?;
        let new = self.table(old);
        if new == old {
            return Ok(());
        }
        if !update {
            bail!(
                "the results in sdk/README.md are others now: look, then `cargo xtask sdks --update`"
            );
        }
        Ok(std::fs::write(file, format!("{before}{BEGIN}{new}{END}{after}"))?)
    }

    fn table(&self, old: &str) -> String {
        let old = read(old);
        let languages: BTreeSet<&String> = old.keys().chain(self.0.keys()).collect();
        let mark = |language: &str, scenario: &str| -> String {
            match self.0.get(language) {
                Some(outcomes) => match outcomes.get(scenario) {
                    Some(true) => GOOD.to_owned(),
                    Some(false) => BAD.to_owned(),
                    None => UNKNOWN.to_owned(),
                },
                None => {
                    old.get(language).and_then(|it| it.get(scenario)).cloned().unwrap_or_default()
                }
            }
        };
        let scenarios: BTreeSet<&String> = self.0.values().flat_map(|it| it.keys()).collect();
        let names: Vec<&str> = languages.iter().map(|it| it.as_str()).collect();
        let mut text = format!("| scenario | {} |\n", names.join(" | "));
        text.push_str(&format!("|---{}|\n", "|---".repeat(names.len())));
        for scenario in scenarios {
            let marks: Vec<String> =
                names.iter().map(|language| mark(language, scenario)).collect();
            text.push_str(&format!("| {scenario} | {} |\n", marks.join(" | ")));
        }
        text
    }
}

/// The marks of a table by language and scenario.
fn read(table: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = table.lines();
    let languages: Vec<String> = lines.next().map(cells).unwrap_or_default();
    let mut marks: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in lines.skip(1).map(cells) {
        for (language, mark) in languages.iter().zip(&row).skip(1) {
            marks.entry(language.clone()).or_default().insert(row[0].clone(), mark.clone());
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_was_not_tried_stays() {
        let old =
            "| scenario | go | rust |\n|---|---|---|\n| a | yes | yes |\n| b | **no** | yes |\n";
        let mut results = Results::default();
        results.add("rust", vec![("a".to_owned(), true), ("b".to_owned(), false)]);
        let new =
            "| scenario | go | rust |\n|---|---|---|\n| a | yes | yes |\n| b | **no** | **no** |\n";
        assert_eq!(results.table(old), new);
        assert_eq!(results.failed(), ["rust fails b"]);
        results.add("c", vec![("a".to_owned(), true)]);
        assert!(
            results
                .table(old)
                .starts_with("| scenario | c | go | rust |\n|---|---|---|---|\n| a | yes |")
        );
    }
}
