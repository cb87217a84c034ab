//! In TypeScript.

use super::name::{is_plain, quoted};
use super::{Kind, Type, ValueType};

pub(super) fn write(types: &[Type]) -> String {
    let mut text = "// Made by `eventfabric types --lang typescript`.\n".to_owned();
    text.push_str("\n/** The data of the newest version of each event, by its type. */\n");
    text.push_str("export type Events = {\n");
    for (of, event) in types.iter().filter_map(|it| Some((it, it.event.as_ref()?))) {
        if event.is_newest {
            text.push_str(&format!("  {}: {};\n", key(&event.name), of.name));
        }
    }
    text.push_str("};\n");
    for of in types {
        text.push_str(&format!("\n/** {} */\n", of.doc()));
        text.push_str(&format!("export type {} = {{\n", of.name));
        for field in &of.fields {
            if let Some(note) = note(&field.of.kind) {
                text.push_str(&format!("  /** {note} */\n"));
            }
            let mark = if field.optional { "?" } else { "" };
            text.push_str(&format!("  {}{mark}: {};\n", key(&field.name), value(&field.of)));
        }
        text.push_str("};\n");
    }
    text
}

fn key(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { quoted(name) }
}

fn value(of: &ValueType) -> String {
    let kind = match &of.kind {
        // Null is among them.
        Kind::Any => return "unknown".to_owned(),
        Kind::Bool => "boolean".to_owned(),
        Kind::Integer | Kind::Unsigned | Kind::Number => "number".to_owned(),
        Kind::Text | Kind::Uuid | Kind::DateTime | Kind::Date => "string".to_owned(),
        Kind::List(items) => format!("Array<{}>", value(items)),
        Kind::Named(name) => name.clone(),
    };
    if of.nullable { format!("{kind} | null") } else { kind }
}

/// What the type does not say.
fn note(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Integer => Some("A whole number."),
        Kind::Unsigned => {
            Some("A whole number, in some events larger than a number holds exactly.")
        }
        Kind::Uuid => Some("A UUID."),
        Kind::DateTime => Some("A time, RFC 3339."),
        Kind::Date => Some("A date: YYYY-MM-DD."),
        _ => None,
    }
}
