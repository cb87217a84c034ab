//! `eventfabric types`

mod go;
mod name;
mod python;
mod registered;
mod rust;
mod schema;
mod shape;
mod typescript;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;

use clap::ValueEnum;
use futures::TryStreamExt as _;
use serde_json::Value;

use super::connect::Context;
use super::{dev, exit, output};
use crate::event::Event;
use crate::store::{self, EventStore};
use name::Names;
use shape::{Kind, Seen};

/// Fields of every payload that say what it is, and not what happened.
const ABOUT: [&str; 2] = ["type", "version"];

/// What to write.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What the newest events have in common becomes the types: a field that one of them lacks is optional, one that is
null in one may be null; whole numbers, UUIDs, dates and times are told apart where all events have them so. The
newest version of an event is called as the event, an older one NameV1. The same events give the same text.

Examples:
  eventfabric types --lang rust > src/events.rs
  eventfabric types --lang typescript --type AccountOpened --type MoneyDeposited > src/events.ts
  eventfabric types --lang json-schema --events week.ndjson.gz
  eventfabric types --lang go --registered > events.go")]
pub(super) struct Types {
    /// The language
    #[arg(long, value_enum)]
    lang: Target,
    /// Only events of these types
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only those of this tenant [default: of all]
    #[arg(long, conflicts_with = "events")]
    tenant: Option<String>,
    /// Look at the newest events of the log, so many; 0: at all
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    newest: usize,
    /// Look at the events of a file, as `import` reads it, instead of those of the log
    #[arg(long, value_name = "FILE", conflicts_with = "newest")]
    events: Option<PathBuf>,
    /// From the schemas that are registered (`eventfabric schemas`), instead of events
    #[arg(long, conflicts_with_all = ["events", "newest", "tenant"])]
    registered: bool,
}

/// What types can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    Rust,
    #[value(alias = "ts")]
    Typescript,
    Python,
    Go,
    JsonSchema,
}

pub(super) async fn run(context: &Context, command: Types) -> anyhow::Result<()> {
    if command.registered {
        let mut schemas = store::schemas(&context.pool().await?, None, None).await?;
        schemas.retain(|it| command.types.is_empty() || command.types.contains(&it.event_type));
        if schemas.is_empty() {
            return Err(exit::bad_input(
                "no such schema is registered: `eventfabric schemas list`",
            ));
        }
        return output::text(&written(command.lang, &registered::types(&schemas)));
    }
    let mut seen = Events::default();
    match &command.events {
        Some(file) => dev::of_file(file)
            .await?
            .iter()
            .filter(|event| command.types.is_empty() || command.types.contains(&event.event_type))
            .for_each(|event| seen.add(event)),
        None => {
            let store = EventStore::new(context.pool_of(command.tenant.as_deref()).await?);
            let mut query = store.query().newest_first();
            if let Some(tenant) = &command.tenant {
                query = query.tenant(tenant);
            }
            if command.newest > 0 {
                query = query.limit(command.newest);
            }
            let query = command.types.iter().fold(query, |query, it| query.event_type(it));
            let mut events = pin!(query.stream());
            while let Some(event) = events.try_next().await? {
                seen.add(&event);
            }
        }
    }
    if seen.0.is_empty() {
        return Err(exit::bad_input("there is no such event to learn types from"));
    }
    output::text(&written(command.lang, &seen.types()))
}

/// The types in a language.
fn written(target: Target, types: &[Type]) -> String {
    match target {
        Target::Rust => rust::write(types),
        Target::Typescript => typescript::write(types),
        Target::Python => python::write(types),
        Target::Go => go::write(types),
        Target::JsonSchema => schema::write(types),
    }
}

/// What was seen of events, by type and version.
#[derive(Default)]
struct Events(BTreeMap<String, BTreeMap<i32, Seen>>);

impl Events {
    fn add(&mut self, event: &Event) {
        let Ok(mut data) = serde_json::from_str::<Value>(event.payload.get()) else { return };
        if let Value::Object(fields) = &mut data {
            ABOUT.iter().for_each(|name| drop(fields.remove(*name)));
        }
        let versions = self.0.entry(event.event_type.clone()).or_default();
        versions.entry(event.schema_version).or_default().add(&data);
    }

    /// The types of all of them, each before those that its fields have.
    fn types(&self) -> Vec<Type> {
        let (mut names, mut types) = (Names::default(), Vec::new());
        // Those of the events themselves first: a part of one gets the name that is left.
        let mut todo = Vec::new();
        for (event, versions) in &self.0 {
            let newest = versions.keys().max();
            for (version, seen) in versions {
                let is_newest = Some(version) == newest;
                let name = name_of(&mut names, event, *version, is_newest);
                todo.push((name, event, *version, is_newest, seen));
            }
        }
        for (name, event, version, is_newest, seen) in todo {
            let event = OfEvent { name: event.clone(), version, is_newest };
            seen.declare(name, Some(event), &mut names, &mut types);
        }
        types
    }
}

/// The name of the type of a version of an event.
fn name_of(names: &mut Names, event: &str, version: i32, is_newest: bool) -> String {
    match is_newest {
        true => names.free(event),
        false => names.free(&format!("{event}_v{version}")),
    }
}

/// A type with fields.
#[derive(Debug, PartialEq, Eq)]
struct Type {
    /// Unlike that of any other, with large first letters of its words.
    name: String,
    /// The event whose payload it is; else it is a part of one.
    event: Option<OfEvent>,
    /// Sorted by name.
    fields: Vec<Field>,
}

#[derive(Debug, PartialEq, Eq)]
struct OfEvent {
    name: String,
    version: i32,
    is_newest: bool,
}

/// A field of a type.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    /// As the payload has it.
    name: String,
    of: ValueType,
    /// Some events lack it.
    optional: bool,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ValueType {
    kind: Kind,
    nullable: bool,
}

impl Type {
    /// What stands above it.
    fn doc(&self) -> String {
        match &self.event {
            None => "A part of the data of an event.".to_owned(),
            Some(event) => {
                // What would end a comment.
                let name = event.name.replace(char::is_control, "?").replace("*/", "* /");
                format!("The data of {name}, version {}.", event.version)
            }
        }
    }
}

impl Field {
    /// Whether there may be no value.
    fn may_lack(&self) -> bool {
        self.optional || self.of.nullable
    }
}

#[cfg(test)]
mod tests;
