//! `eventfabric schemas`

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use serde::Serialize;
use serde_json::Value;

use super::connect::Context;
use super::{exit, output};
use crate::event::StreamId;
use crate::store::{self, EventChecker, EventSchema, EventStore, SchemaError};

/// JSON Schemas of events.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A schema belongs to one version of one event type, for all tenants. It describes the payload without the fields
`type` and `version`, unless it names these itself. One that is enforced is checked by every append of every host
from then on: an event that does not fit is refused with the places that do not fit. Nothing that is in the log is
changed by it; `check` reads what is there.

Examples:
  eventfabric types --lang json-schema --type AccountOpened    # a first draft, from the log
  eventfabric schemas register AccountOpened 2 account-opened.json
  eventfabric schemas check AccountOpened 2                    # does the log fit?
  eventfabric schemas enforce AccountOpened 2
  eventfabric types --lang typescript --registered > src/events.ts")]
pub(super) struct Schemas {
    #[command(subcommand)]
    command: SchemasCommand,
}

/// A version of an event type.
#[derive(Debug, clap::Args)]
struct Of {
    /// The event type
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The version of its payload
    #[arg(value_name = "VERSION", value_parser = clap::value_parser!(i32).range(1..))]
    schema_version: i32,
}

#[derive(Debug, clap::Subcommand)]
enum SchemasCommand {
    /// What is registered
    List {
        /// Only this event type
        event_type: Option<String>,
        /// Answer in JSON, the schemas with it
        #[arg(long)]
        json: bool,
    },
    /// The schema of a version of an event type
    Show {
        #[command(flatten)]
        of: Of,
    },
    /// Register a schema; the same once more changes nothing
    Register {
        #[command(flatten)]
        of: Of,
        /// The JSON Schema; `-` reads it from standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Check appends against it from now on
        #[arg(long)]
        enforce: bool,
        /// Who you are
        #[arg(long, env = "USER")]
        by: Option<String>,
    },
    /// Check appends against a registered schema from now on
    Enforce {
        #[command(flatten)]
        of: Of,
    },
    /// Check appends against a schema no longer
    Relax {
        #[command(flatten)]
        of: Of,
    },
    /// Forget a schema
    Remove {
        #[command(flatten)]
        of: Of,
    },
    /// Which events of the log do not fit their schemas; the exit code is 4 where there are any
    Check {
        /// Only this event type
        event_type: Option<String>,
        /// Only this version of its payload
        #[arg(value_name = "VERSION", value_parser = clap::value_parser!(i32).range(1..))]
        schema_version: Option<i32>,
        /// Answer in JSON, a line for each event that does not fit
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(context: &Context, command: Schemas) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    match command.command {
        SchemasCommand::List { event_type, json } => {
            let schemas = store::schemas(&pool, event_type.as_deref(), None).await?;
            let header = ["type", "version", "enforced", "registered", "by"];
            output::list(&schemas, json, &header, |schema: &EventSchema| {
                vec![
                    output::printable(&schema.event_type),
                    schema.schema_version.to_string(),
                    if schema.enforced { "yes" } else { "no" }.to_owned(),
                    output::time(schema.registered_at),
                    schema.registered_by.clone().unwrap_or_default(),
                ]
            })
        }
        SchemasCommand::Show { of } => {
            let found =
                store::schemas(&pool, Some(&of.event_type), Some(of.schema_version)).await?;
            let found = found.first().ok_or_else(|| missing(&of))?;
            output::text(&format!("{:#}\n", found.schema))
        }
        SchemasCommand::Register { of, file, enforce, by } => {
            let schema = read(&file)?;
            let (of, version) = (&of.event_type, of.schema_version);
            let registered =
                store::register_schema(&pool, of, version, &schema, enforce, by.as_deref()).await;
            registered.map_err(|error| match error {
                SchemaError::Database(error) => error.into(),
                error => exit::bad_input(format!("{}: {error}", file.display())),
            })?;
            let how = if enforce { ", and appends are checked against it" } else { "" };
            output::line(&format!("version {version} of {of} has this schema now{how}"))
        }
        SchemasCommand::Enforce { of } => enforce(&pool, of, true).await,
        SchemasCommand::Relax { of } => enforce(&pool, of, false).await,
        SchemasCommand::Remove { of } => {
            match store::remove_schema(&pool, &of.event_type, of.schema_version).await? {
                true => output::line(&format!(
                    "version {} of {} has no schema any more",
                    of.schema_version, of.event_type
                )),
                false => Err(missing(&of)),
            }
        }
        SchemasCommand::Check { event_type, schema_version, json } => {
            let schemas = store::schemas(&pool, event_type.as_deref(), schema_version).await?;
            if schemas.is_empty() {
                return Err(exit::bad_input(
                    "there is no such schema to check events against: `eventfabric schemas list`",
                ));
            }
            check(&EventStore::new(pool), &schemas, json).await
        }
    }
}

fn missing(of: &Of) -> anyhow::Error {
    exit::bad_input(format!(
        "version {} of {} has no schema: `eventfabric schemas list`",
        of.schema_version, of.event_type
    ))
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("the schema on standard input")?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| file.display().to_string())?
    };
    serde_json::from_str(&text)
        .map_err(|error| exit::bad_input(format!("{} is not JSON: {error}", file.display())))
}

async fn enforce(pool: &sqlx::PgPool, of: Of, enforced: bool) -> anyhow::Result<()> {
    if !store::enforce_schema(pool, &of.event_type, of.schema_version, enforced).await? {
        return Err(missing(&of));
    }
    let Of { event_type, schema_version } = of;
    output::line(&match enforced {
        true => format!(
            "appends of version {schema_version} of {event_type} are checked against its schema"
        ),
        false => {
            format!("appends of version {schema_version} of {event_type} are checked no longer")
        }
    })
}

/// An event of the log that does not fit.
#[derive(Debug, Serialize)]
struct Misfit<'a> {
    position: i64,
    stream: &'a StreamId,
    event_type: &'a str,
    schema_version: i32,
    faults: String,
}

/// How many misfits are told to people.
const TOLD: u64 = 20;

async fn check(store: &EventStore, schemas: &[EventSchema], json: bool) -> anyhow::Result<()> {
    let (mut events_read, mut misfits) = (0_u64, 0_u64);
    for schema in schemas {
        let checker = EventChecker::new(&schema.schema).map_err(exit::bad_input)?;
        let query = store.query().event_type(&schema.event_type);
        let mut events = pin!(query.stream());
        while let Some(event) = events.try_next().await? {
            if event.schema_version != schema.schema_version {
                continue;
            }
            events_read += 1;
            let Err(faults) = checker.check(event.payload.get()) else { continue };
            misfits += 1;
            let misfit = Misfit {
                position: event.position,
                stream: &event.stream,
                event_type: &event.event_type,
                schema_version: event.schema_version,
                faults,
            };
            if json {
                output::value(&misfit)?;
            } else if misfits <= TOLD {
                output::line(&format!(
                    "position {}: {} version {} of {}: {}",
                    misfit.position,
                    misfit.event_type,
                    misfit.schema_version,
                    misfit.stream,
                    output::on_one_line(&misfit.faults)
                ))?;
            }
        }
    }
    if misfits > 0 {
        return Err(exit::bad_input(format!(
            "{misfits} of {events_read} events do not fit their schemas; give them an upcaster, or dismiss them"
        )));
    }
    if json {
        Ok(())
    } else {
        output::line(&format!("events that were read: {events_read}; all of them fit"))
    }
}
