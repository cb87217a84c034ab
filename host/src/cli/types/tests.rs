//! The types of some events in every language: as committed, and taken by the language's own tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum as _;

use super::*;
use crate::event::{ExpectedVersion, NewEvent, StreamId};
use crate::store::{Append, EventSchema};

/// What the types were written from, one event a line: type, version, data.
const EVENTS: &str = include_str!("samples/events.ndjson");

/// The committed types, compiled.
#[allow(dead_code)]
mod committed {
    include!("samples/events.rs");
}

fn sample(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/types/samples").join(file)
}

fn events() -> Vec<Event> {
    let new = |line: &str| {
        let (event_type, schema_version, data): (String, i32, Value) =
            serde_json::from_str(line).unwrap();
        NewEvent { schema_version, ..NewEvent::new(event_type, &data).unwrap() }
    };
    let events = EVENTS.lines().map(new).collect();
    let (stream, expected) = (StreamId::new("A", "1"), ExpectedVersion::Any);
    Append::in_empty_log(vec![Append { stream, expected, topic: None, events }]).unwrap()
}

fn file_of(target: Target) -> PathBuf {
    sample(match target {
        Target::Rust => "events.rs",
        Target::Typescript => "events.ts",
        Target::Python => "events.py",
        Target::Go => "events.go",
        Target::JsonSchema => "events.schema.json",
    })
}

#[test]
fn golden_types_are_as_committed_whatever_the_order_of_the_events() {
    let (mut forward, mut backward) = (Events::default(), Events::default());
    events().iter().for_each(|event| forward.add(event));
    events().iter().rev().for_each(|event| backward.add(event));
    for target in Target::value_variants() {
        let text = written(*target, &forward.types());
        assert_eq!(text, written(*target, &backward.types()));
        let file = file_of(*target);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == text, "{}: look at it, then UPDATE_GOLDEN=1\n{text}", file.display());
    }
}

#[test]
fn the_types_read_the_events_that_they_were_made_from() {
    for event in events() {
        let payload = event.payload.get();
        if event.event_type == "Account.Opened" && event.schema_version == 1 {
            serde_json::from_str::<committed::AccountOpenedV1>(payload).unwrap();
        } else {
            serde_json::from_str::<committed::Events>(payload).unwrap();
        }
    }
}

/// Runs a tool, where it is there.
fn accepts(mut tool: Command) {
    match tool.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        said => {
            let said = said.unwrap();
            let text = [said.stdout, said.stderr].concat();
            assert!(said.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn python_takes_its_types() {
    let mut python = Command::new("python3");
    // Without a file of what was compiled beside it.
    python.arg("-B").arg(file_of(Target::Python));
    accepts(python);
}

#[test]
fn typescript_takes_its_types() {
    let tools =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/typescript/node_modules/.bin/tsc");
    let mut tsc = Command::new(tools);
    tsc.args(["--noEmit", "--strict"]).arg(file_of(Target::Typescript));
    accepts(tsc);
}

#[test]
fn go_takes_its_types() {
    let mut vet = Command::new("go");
    let file = file_of(Target::Go);
    let cache = std::env::temp_dir().join("eventfabric-go-cache");
    vet.args(["vet", "events.go"]).current_dir(file.parent().unwrap()).env("GOFLAGS", "-mod=mod");
    vet.env("GOCACHE", cache);
    accepts(vet);
}

/// What the types of events are written as, registered and read back, is the types again.
#[test]
fn a_schema_that_was_written_becomes_the_same_types() {
    let mut seen = Events::default();
    events().iter().for_each(|event| seen.add(event));
    let whole: Value = serde_json::from_str(&written(Target::JsonSchema, &seen.types())).unwrap();
    let schemas: Vec<EventSchema> = seen
        .types()
        .iter()
        .filter_map(|of| Some((of.name.clone(), of.event.as_ref()?)))
        .map(|(name, event)| {
            let mut schema = whole["$defs"][&name].clone();
            schema["$defs"] = whole["$defs"].clone();
            registered(&event.name, event.version, schema)
        })
        .collect();
    let (from_log, again) = (seen.types(), super::registered::types(&schemas));
    for of in from_log.iter().filter(|of| of.event.is_some()) {
        let found = again.iter().find(|other| other.name == of.name).unwrap();
        assert_eq!((&found.event, fields(found)), (&of.event, fields(of)));
    }
}

/// The names of the fields, and whether there may be none. (What may be anything may be null, too.)
fn fields(of: &Type) -> Vec<(&str, bool)> {
    let may_lack = |field: &Field| match field.of.kind {
        Kind::Any => field.optional,
        _ => field.may_lack(),
    };
    of.fields.iter().map(|field| (&*field.name, may_lack(field))).collect()
}

fn registered(event_type: &str, schema_version: i32, schema: Value) -> EventSchema {
    EventSchema {
        event_type: event_type.to_owned(),
        schema_version,
        schema,
        enforced: false,
        registered_at: Default::default(),
        registered_by: None,
    }
}

#[test]
fn a_schema_by_hand_becomes_types_as_far_as_they_go() {
    let schema = serde_json::json!({
        "properties": {
            "type": {"const": "Moved"},
            "to": {"oneOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            "how": {"enum": ["fast", "slow", null]},
            "count": {"type": ["integer", "null"], "maximum": 18_446_744_073_709_551_615_u64},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "far": {"$ref": "https://example.com/other.json"},
            "ring": {"$ref": "#/properties/ring"},
            "free": {"type": "object"},
            "rows": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
        },
        "required": ["how", "rows"],
        "$defs": {"Node": {
            "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}},
            "required": ["name"],
        }},
    });
    let types = super::registered::types(&[registered("Moved", 3, schema)]);
    let written = written(Target::Typescript, &types);
    let names: Vec<&str> = types.iter().map(|of| &*of.name).collect();
    assert_eq!(names, ["Moved", "Node"], "{written}");
    let kinds: Vec<_> = types[0]
        .fields
        .iter()
        .map(|field| (&*field.name, &field.of.kind, field.of.nullable, field.optional))
        .collect();
    let node = Kind::Named("Node".to_owned());
    let nodes = Kind::List(Box::new(ValueType { kind: node.clone(), nullable: false }));
    assert_eq!(
        kinds,
        [
            ("count", &Kind::Unsigned, true, true),
            ("either", &Kind::Any, false, true),
            ("far", &Kind::Any, false, true),
            ("free", &Kind::Any, false, true),
            ("how", &Kind::Text, true, false),
            ("ring", &Kind::Any, false, true),
            ("rows", &nodes, false, false),
            ("to", &node, true, true),
        ]
    );
    // What holds itself is not followed for ever.
    assert_eq!(types[1].fields[1].of.kind, Kind::Any);
}
