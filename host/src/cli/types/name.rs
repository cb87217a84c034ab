//! Names, as the languages have them.

use std::collections::HashSet;

/// Names that are given already.
#[derive(Debug)]
pub(super) struct Names(HashSet<String>);

/// Names that mean something in a language, or in what is written there.
const TAKEN: [&str; 17] = [
    "Any",
    "Array",
    "Box",
    "Clone",
    "Date",
    "Debug",
    "Deserialize",
    "Events",
    "Map",
    "None",
    "Object",
    "Option",
    "PartialEq",
    "Self",
    "String",
    "UUID",
    "Vec",
];

impl Default for Names {
    fn default() -> Self {
        Self(TAKEN.map(str::to_owned).into())
    }
}

impl Names {
    /// A name like this one that is not given yet, as types have it.
    pub(super) fn free(&mut self, like: &str) -> String {
        let wanted = large(like);
        let numbered = (2..).map(|number| format!("{wanted}{number}"));
        let name = std::iter::once(wanted.clone()).chain(numbered).find(|it| !self.0.contains(it));
        let name = name.unwrap_or(wanted);
        self.0.insert(name.clone());
        name
    }
}

/// `money.deposited` and `money_deposited` as `MoneyDeposited`; never what begins with a digit.
pub(super) fn large(name: &str) -> String {
    let mut text = String::new();
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    match text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => text,
        false => format!("X{text}"),
    }
}

/// `ownerName` and `owner-name` as `owner_name`.
pub(super) fn small(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            c if c.is_ascii_uppercase() => {
                let word_ends =
                    text.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
                text.extend(word_ends.then_some('_'));
                text.push(c.to_ascii_lowercase());
            }
            c if c.is_ascii_alphanumeric() => text.push(c),
            _ => text.push('_'),
        }
    }
    match text.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => text,
        false => format!("x{text}"),
    }
}

/// Whether a name can stand as it is in most languages.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A text in quotes, as JSON and the languages have it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
