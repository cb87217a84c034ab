//! As a JSON Schema.

use serde_json::{Map, Value, json};

use super::{Kind, Type, ValueType};

pub(super) fn write(types: &[Type]) -> String {
    let of = |of: &Type| (of.name.clone(), object(of));
    let all: Map<String, Value> = types.iter().map(of).collect();
    let mut schema =
        json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": all});
    let mut events = types.iter().filter(|of| of.event.is_some());
    if let (Some(only), None) = (events.next(), events.next()) {
        // Of one event it can be registered as it is.
        schema["$ref"] = format!("#/$defs/{}", only.name).into();
    }
    format!("{schema:#}\n")
}

fn object(of: &Type) -> Value {
    let properties: Map<String, Value> =
        of.fields.iter().map(|field| (field.name.clone(), value(&field.of))).collect();
    let fields = of.fields.iter().filter(|field| !field.optional);
    let required: Vec<&str> = fields.map(|field| &*field.name).collect();
    json!({
        "description": of.doc(),
        "type": "object",
        "properties": properties,
        "required": required,
    })
}

fn value(of: &ValueType) -> Value {
    let plain = |kind: &str| match of.nullable {
        true => json!({"type": [kind, "null"]}),
        false => json!({"type": kind}),
    };
    let text = |format: &str| {
        let mut schema = plain("string");
        schema["format"] = format.into();
        schema
    };
    match &of.kind {
        Kind::Any => json!(true),
        Kind::Bool => plain("boolean"),
        Kind::Integer | Kind::Unsigned => plain("integer"),
        Kind::Number => plain("number"),
        Kind::Text => plain("string"),
        Kind::Uuid => text("uuid"),
        Kind::DateTime => text("date-time"),
        Kind::Date => text("date"),
        Kind::List(items) => {
            let mut schema = plain("array");
            schema["items"] = value(items);
            schema
        }
        Kind::Named(name) => {
            let there = json!({"$ref": format!("#/$defs/{name}")});
            if of.nullable { json!({"anyOf": [there, {"type": "null"}]}) } else { there }
        }
    }
}
