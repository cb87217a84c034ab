//! In Rust, for serde.

use std::collections::HashSet;

use super::name::{quoted, small};
use super::{Kind, Type, ValueType};

const HEAD: &str = "// Made by `eventfabric types --lang rust`.\n\nuse serde::Deserialize;\n";

/// Words that can't be a name.
const WORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "use", "where", "while",
];

pub(super) fn write(types: &[Type]) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n/// The newest version of each event. In the payload, `type` says which of these it is.\n");
    text.push_str("#[derive(Debug, Clone, PartialEq, Deserialize)]\n#[serde(tag = \"type\")]\n");
    text.push_str("pub enum Events {\n");
    for (of, event) in types.iter().filter_map(|it| Some((it, it.event.as_ref()?))) {
        if event.is_newest {
            if of.name != event.name {
                text.push_str(&format!("    #[serde(rename = {})]\n", quoted(&event.name)));
            }
            text.push_str(&format!("    {0}({0}),\n", of.name));
        }
    }
    text.push_str("}\n");
    for of in types {
        text.push_str(&format!("\n/// {}\n", of.doc()));
        text.push_str("#[derive(Debug, Clone, PartialEq, Deserialize)]\n");
        if of.fields.is_empty() {
            text.push_str(&format!("pub struct {} {{}}\n", of.name));
            continue;
        }
        text.push_str(&format!("pub struct {} {{\n", of.name));
        let mut taken = HashSet::new();
        for field in &of.fields {
            let mut name = small(&field.name);
            while WORDS.contains(&&*name) || !taken.insert(name.clone()) {
                name.push('_');
            }
            if let Some(note) = note(&field.of.kind) {
                text.push_str(&format!("    /// {note}\n"));
            }
            if name != field.name {
                text.push_str(&format!("    #[serde(rename = {})]\n", quoted(&field.name)));
            }
            let kind = kind(&field.of.kind);
            let kind = if field.may_lack() { format!("Option<{kind}>") } else { kind };
            text.push_str(&format!("    pub {name}: {kind},\n"));
        }
        text.push_str("}\n");
    }
    text
}

fn value(of: &ValueType) -> String {
    let kind = kind(&of.kind);
    if of.nullable { format!("Option<{kind}>") } else { kind }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Any => "serde_json::Value".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::Integer => "i64".to_owned(),
        Kind::Unsigned => "u64".to_owned(),
        Kind::Number => "f64".to_owned(),
        Kind::Text | Kind::Uuid | Kind::DateTime | Kind::Date => "String".to_owned(),
        Kind::List(items) => format!("Vec<{}>", value(items)),
        Kind::Named(name) => name.clone(),
    }
}

/// What the type does not say.
fn note(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Uuid => Some("A UUID."),
        Kind::DateTime => Some("A time, RFC 3339."),
        Kind::Date => Some("A date: YYYY-MM-DD."),
        _ => None,
    }
}
