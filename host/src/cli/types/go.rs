//! In Go, for encoding/json.

use std::collections::HashSet;

use super::name::{large, quoted};
use super::{Kind, Type, ValueType};

pub(super) fn write(types: &[Type]) -> String {
    let mut body = String::new();
    for of in types {
        body.push_str(&format!("\n// {}\n", of.doc()));
        if of.fields.is_empty() {
            body.push_str(&format!("type {} struct{{}}\n", of.name));
            continue;
        }
        body.push_str(&format!("type {} struct {{\n", of.name));
        let mut taken = HashSet::new();
        let (mut rows, mut others) = (Vec::new(), Vec::new());
        for field in &of.fields {
            let mut name = large(&field.name);
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            let kind = value(&ValueType { nullable: field.may_lack(), ..field.of.clone() });
            let option = if field.optional { ",omitempty" } else { "" };
            // A tag is a list of quoted texts between back quotes; what can't stand there has no field.
            let tag = quoted(&format!("{}{option}", field.name));
            match field.name.contains(['`', ',', '"', '\\']) {
                true => others.push(format!("\t// {tag}: no tag can name it\n")),
                false => rows.push((name, kind, format!("`json:{tag}`"))),
            }
        }
        body.push_str(&aligned(&rows));
        body.push_str(&others.concat());
        body.push_str("}\n");
    }
    let mut text = "// Made by `eventfabric types --lang go`.\n\npackage main\n".to_owned();
    if body.contains(" time.Time") || body.contains("*time.Time") || body.contains("]time.Time") {
        text.push_str("\nimport \"time\"\n");
    }
    text + &body
}

/// In columns, as gofmt has them.
fn aligned(rows: &[(String, String, String)]) -> String {
    let names = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let kinds = rows.iter().map(|(_, kind, _)| kind.len()).max().unwrap_or(0);
    rows.iter().map(|(name, kind, tag)| format!("\t{name:names$} {kind:kinds$} {tag}\n")).collect()
}

fn value(of: &ValueType) -> String {
    let kind = match &of.kind {
        // Both hold null.
        Kind::Any => return "any".to_owned(),
        Kind::List(items) => return format!("[]{}", value(items)),
        Kind::Bool => "bool".to_owned(),
        Kind::Integer => "int64".to_owned(),
        Kind::Unsigned => "uint64".to_owned(),
        Kind::Number => "float64".to_owned(),
        Kind::Text | Kind::Uuid | Kind::Date => "string".to_owned(),
        Kind::DateTime => "time.Time".to_owned(),
        Kind::Named(name) => name.clone(),
    };
    if of.nullable { format!("*{kind}") } else { kind }
}
