//! Settings for the eyes of people: never what is secret.

use serde_json::Value;

use super::{Given, Settings, Source};

/// Stands for what is set and not shown.
const HIDDEN: &str = "(not shown)";

/// What a secret can be called.
const SECRETS: [&str; 5] = ["token", "headers", "password", "secret", "credentials"];

/// All settings, in the order of their names.
pub(super) fn of(settings: &Settings, given: &Given) -> Vec<(String, Value, Source)> {
    let value = serde_json::to_value(settings).expect("settings are objects, numbers and text");
    let mut leaves = Vec::new();
    collect(value, &mut Vec::new(), &mut leaves);
    leaves.sort_by(|(a, _), (b, _)| a.cmp(b));
    leaves
        .into_iter()
        .map(|(path, value)| {
            let value = shown(&path, value);
            (path.join("."), value, given.source(&path))
        })
        .collect()
}

fn collect(value: Value, path: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, Value)>) {
    let parts: Vec<(String, Value)> = match value {
        Value::Object(values) => values.into_iter().collect(),
        Value::Array(values) if values.iter().any(Value::is_object) => {
            values.into_iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
        }
        value => return leaves.push((path.clone(), value)),
    };
    for (name, value) in parts {
        path.push(name);
        collect(value, path, leaves);
        path.pop();
    }
}

fn shown(path: &[String], value: Value) -> Value {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    match (names.as_slice(), value) {
        (_, Value::Null) => Value::Null,
        // Their types show names and addresses alone.
        (["seal_key"] | ["tenants", ..], value) => value,
        (["database_url"], Value::String(url)) => url.parse().map_or_else(
            |_| HIDDEN.into(),
            |url: crate::tenancy::DatabaseUrl| url.to_string().into(),
        ),
        (["plugin", ..], _) => HIDDEN.into(),
        (names, _) if names.iter().any(|name| SECRETS.contains(name)) => HIDDEN.into(),
        (_, Value::String(text)) => without_password(&text).into(),
        (_, value) => value,
    }
}

/// An address without what stands before its host.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let shown = rest.split(['?', '#']).next().unwrap_or_default();
    let hidden = if shown.len() < rest.len() { HIDDEN } else { "" };
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{HIDDEN}{}{hidden}", &shown[at..]),
        None => format!("{scheme}://{shown}{hidden}"),
    }
}
