//! In Python: dataclasses.

use super::name::is_plain;
use super::{Kind, Type, ValueType};

/// Words that can't be a name.
const WORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

pub(super) fn write(types: &[Type]) -> String {
    let mut body = String::new();
    // A name must stand before it is used.
    for of in types.iter().rev() {
        body.push_str(&format!("\n\n@dataclass(kw_only=True)\nclass {}:\n", of.name));
        body.push_str(&format!(
            "    \"\"\"{}\"\"\"\n",
            of.doc().replace('\\', "/").replace('"', "'")
        ));
        let (fields, others): (Vec<_>, Vec<_>) = (of.fields.iter())
            .partition(|field| is_plain(&field.name) && !WORDS.contains(&&*field.name));
        if !of.fields.is_empty() {
            body.push('\n');
        }
        for field in fields {
            let kind = value(&ValueType { nullable: field.may_lack(), ..field.of.clone() });
            let default = if field.optional { " = None" } else { "" };
            body.push_str(&format!("    {}: {kind}{default}\n", field.name));
        }
        for field in others {
            let name = field.name.replace(char::is_control, "?");
            body.push_str(&format!("    # {name}: no name in Python; the payload itself has it\n"));
        }
    }
    let mut text =
        "# Made by `eventfabric types --lang python`.\n\nfrom dataclasses import dataclass\n"
            .to_owned();
    let imports = [
        ("date", "from datetime import date\n"),
        ("datetime", "from datetime import datetime\n"),
        ("Any", "from typing import Any\n"),
        ("UUID", "from uuid import UUID\n"),
    ];
    let words: Vec<&str> = body.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for (word, line) in imports {
        if words.contains(&word) {
            text.push_str(line);
        }
    }
    text + &body
}

fn value(of: &ValueType) -> String {
    let kind = match &of.kind {
        // None is among them.
        Kind::Any => return "Any".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::Integer | Kind::Unsigned => "int".to_owned(),
        Kind::Number => "float".to_owned(),
        Kind::Text => "str".to_owned(),
        Kind::Uuid => "UUID".to_owned(),
        Kind::DateTime => "datetime".to_owned(),
        Kind::Date => "date".to_owned(),
        Kind::List(items) => format!("list[{}]", value(items)),
        Kind::Named(name) => name.clone(),
    };
    if of.nullable { format!("{kind} | None") } else { kind }
}
