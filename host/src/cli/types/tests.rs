//! The types of some events in every language: as committed, and taken by the language's own tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum as _;

use super::*;
use crate::event::{ExpectedVersion, NewEvent, StreamId};
use crate::store::Append;

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
