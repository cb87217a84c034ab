//! Types from JSON Schemas that are registered.

use std::collections::BTreeMap;

use serde_json::Value;

use super::name::Names;
use super::shape::Kind;
use super::{Field, OfEvent, Type, ValueType};
use crate::store::EventSchema;

/// The types of events with these schemas, each before those that its fields have. What a schema says
/// beyond types and fields (patterns, limits, conditions) is not in them.
pub(super) fn types(schemas: &[EventSchema]) -> Vec<Type> {
    let (mut names, mut types) = (Names::default(), Vec::new());
    let named: Vec<(String, bool)> = schemas
        .iter()
        .map(|schema| {
            let of_type = schemas.iter().filter(|other| other.event_type == schema.event_type);
            let newest = of_type.map(|other| other.schema_version).max();
            let is_newest = newest == Some(schema.schema_version);
            (
                super::name_of(&mut names, &schema.event_type, schema.schema_version, is_newest),
                is_newest,
            )
        })
        .collect();
    for (schema, (name, is_newest)) in schemas.iter().zip(named) {
        let event =
            OfEvent { name: schema.event_type.clone(), version: schema.schema_version, is_newest };
        let mut reader = Reader {
            whole: &schema.schema,
            at_work: Vec::new(),
            known: BTreeMap::new(),
            names: &mut names,
            types: &mut types,
        };
        let (fields, _) = reader.resolve(&schema.schema);
        reader.declare(name, Some(event), fields);
    }
    types
}

/// One schema as it is read.
struct Reader<'a, 'n> {
    whole: &'a Value,
    /// The references that are being followed.
    at_work: Vec<String>,
    /// The types that references have become.
    known: BTreeMap<String, String>,
    names: &'n mut Names,
    types: &'n mut Vec<Type>,
}

impl<'a> Reader<'a, '_> {
    /// What a schema stands for: itself, or what it refers to, with the reference.
    fn resolve(&self, schema: &'a Value) -> (&'a Value, Option<&'a str>) {
        let (mut schema, mut reference) = (schema, None);
        // A reference to a reference, and no ring.
        for _ in 0..10 {
            let Some(next) = schema.get("$ref").and_then(Value::as_str) else { break };
            let Some(found) = next.strip_prefix('#').and_then(|at| self.whole.pointer(at)) else {
                break;
            };
            (schema, reference) = (found, Some(next));
        }
        (schema, reference)
    }

    /// Adds the type of an object, and of the objects in it.
    fn declare(&mut self, name: String, event: Option<OfEvent>, schema: &'a Value) {
        let at = self.types.len();
        self.types.push(Type { name: name.clone(), event, fields: Vec::new() });
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut fields = Vec::new();
        for (field, of) in properties(schema) {
            if self.types[at].event.is_some() && super::ABOUT.contains(&field.as_str()) {
                continue;
            }
            let of = self.value_type(&format!("{name}_{field}"), of);
            let optional = !required.contains(&field.as_str());
            fields.push(Field { name: field.clone(), of, optional });
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        self.types[at].fields = fields;
    }

    fn value_type(&mut self, place: &str, schema: &'a Value) -> ValueType {
        let (resolved, reference) = self.resolve(schema);
        let Some(reference) = reference else { return self.plain(place, resolved) };
        if let Some(name) = self.known.get(reference) {
            // (A type that holds itself has no end, but in a list or where it may be null.)
            let nullable = of_several(resolved).is_some_and(|(_, nullable)| nullable);
            let kind = match self.at_work.iter().any(|it| it == reference) {
                true => Kind::Any,
                false => Kind::Named(name.clone()),
            };
            return ValueType { kind, nullable };
        }
        if self.at_work.iter().any(|it| it == reference) {
            return ValueType { kind: Kind::Any, nullable: false };
        }
        self.at_work.push(reference.to_owned());
        let place = reference.rsplit('/').next().unwrap_or(place);
        let of = self.plain(place, resolved);
        self.at_work.pop();
        if let Kind::Named(name) = &of.kind {
            self.known.insert(reference.to_owned(), name.clone());
        }
        of
    }

    fn plain(&mut self, place: &str, schema: &'a Value) -> ValueType {
        if let Some((one, nullable)) = of_several(schema) {
            let of = match one {
                Some(one) => self.value_type(place, one),
                None => ValueType { kind: Kind::Any, nullable: false },
            };
            return ValueType { nullable: of.nullable || nullable, ..of };
        }
        let (mut kinds, mut nullable) = (Vec::new(), false);
        for kind in kinds_of(schema) {
            match kind {
                "null" => nullable = true,
                kind => kinds.push(kind),
            }
        }
        let kind = match kinds[..] {
            ["boolean"] => Kind::Bool,
            ["integer"] => match schema.get("maximum").and_then(Value::as_u64) {
                Some(most) if i64::try_from(most).is_err() => Kind::Unsigned,
                _ => Kind::Integer,
            },
            ["number"] => Kind::Number,
            ["string"] => match schema.get("format").and_then(Value::as_str) {
                Some("uuid") => Kind::Uuid,
                Some("date-time") => Kind::DateTime,
                Some("date") => Kind::Date,
                _ => Kind::Text,
            },
            ["array"] => {
                let items = schema.get("items").unwrap_or(&Value::Bool(true));
                Kind::List(Box::new(self.value_type(&format!("{place}_item"), items)))
            }
            ["object"] if properties(schema).next().is_some() => {
                let name = self.names.free(place);
                self.declare(name.clone(), None, schema);
                Kind::Named(name)
            }
            _ => Kind::Any,
        };
        ValueType { kind, nullable }
    }
}

/// The names of the JSON types that a schema allows; none where it does not say.
fn kinds_of(schema: &Value) -> Vec<&str> {
    let of_value = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let mut kinds: Vec<&str> = match (schema.get("type"), schema.get("enum"), schema.get("const")) {
        (Some(Value::String(kind)), _, _) => vec![kind],
        (Some(Value::Array(kinds)), _, _) => kinds.iter().filter_map(Value::as_str).collect(),
        (None, Some(Value::Array(values)), _) => values.iter().map(of_value).collect(),
        (None, None, Some(value)) => vec![of_value(value)],
        _ if properties(schema).next().is_some() => vec!["object"],
        _ => Vec::new(),
    };
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// Of `anyOf` or `oneOf`: the one schema beside null, if it is one, and whether null is among them.
fn of_several(schema: &Value) -> Option<(Option<&Value>, bool)> {
    let several = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    let (nulls, others): (Vec<_>, Vec<_>) =
        several.iter().partition(|one| one.get("type").is_some_and(|kind| kind == "null"));
    let one = if let [one] = others[..] { Some(one) } else { None };
    Some((one, !nulls.is_empty()))
}
