//! `eventfabric events`

use std::ops::Bound;
use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use futures::TryStreamExt as _;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::connect::Context;
use super::{exit, output};
use crate::event::{DEFAULT_TENANT, Event, StreamId};
use crate::store::{Dismissed, EventStore, Query};

#[derive(Debug, clap::Args)]
pub(super) struct Events {
    /// One stream, as AGGREGATE/ID; without it the log
    #[arg(value_name = "AGGREGATE/ID")]
    pub stream: Option<String>,
    /// Begin after this position of the log (--backward: before it), or at this version of the
    /// stream
    #[arg(long, value_name = "N")]
    pub from: Option<i64>,
    /// End at this position of the log, or this version of the stream
    #[arg(long, value_name = "N")]
    pub until: Option<i64>,
    /// Only these types
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only these kinds of aggregate
    #[arg(long, conflicts_with = "stream")]
    pub aggregate: Vec<String>,
    /// Only aggregates with this id
    #[arg(long, conflicts_with = "stream")]
    pub id: Option<String>,
    /// The tenant [default: of the log all, of a stream `default`]
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only what happened at this time or later, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<DateTime<Utc>>,
    /// Only what happened before this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub before: Option<DateTime<Utc>>,
    /// Only what belongs together under this id
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// Only what this has caused
    #[arg(long, value_name = "ID")]
    pub causation_id: Option<String>,
    /// Only events with these ids
    #[arg(long = "event-id", value_name = "UUID")]
    pub event_ids: Vec<Uuid>,
    /// Only payloads that contain this JSON, such as {"owner": "Ada"}
    #[arg(long, value_name = "JSON")]
    pub contains: Option<String>,
    /// Only payloads in which this SQL/JSON path finds something, such as '$.lines ? (@.n > 5)', or
    /// for which it is true, such as '$.cents > $least'
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// The variables of --path, such as {"least": 100}
    #[arg(long, value_name = "JSON", requires = "path")]
    pub vars: Option<String>,
    /// Dismissed events, too, or nothing else
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true,
          default_missing_value = "also")]
    pub dismissed: Option<Which>,
    /// Newest first
    #[arg(long)]
    pub backward: bool,
    /// Say how many there are, and nothing else; counts all of them where no --limit is given
    #[arg(long)]
    pub count: bool,
    /// Events, at most; 0 for all [default: 50]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// How long the database may look for a page of events
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Which {
    /// Among the others
    Also,
    /// Without the others
    Only,
}

/// Events where no limit is given.
const LIMIT: usize = 50;

pub(super) async fn run(context: &Context, command: Events) -> anyhow::Result<()> {
    // A stream that names no tenant is the default one's; the log is that of the given database.
    let tenant = command.tenant.as_deref().or(command.stream.as_ref().map(|_| DEFAULT_TENANT));
    let store = EventStore::new(context.pool_of(tenant).await?);
    let query = conditions(store.query().timeout(command.timeout), &command)?;
    let limit = match command.limit {
        None if command.count => None,
        None => Some(LIMIT),
        Some(0) => None,
        Some(limit) => Some(limit),
    };
    let query = match limit {
        Some(limit) => query.limit(limit),
        None => query,
    };
    if command.count {
        let count = query.count().await?;
        return match command.json {
            true => output::value(&serde_json::json!({ "count": count })),
            false => output::line(&count.to_string()),
        };
    }
    let query = if command.backward { query.newest_first() } else { query };
    let mut events = pin!(query.stream());
    while let Some(event) = events.try_next().await? {
        if command.json {
            output::line(&serde_json::to_string(&event)?)?;
        } else {
            output::line(&output::on_one_line(&text(&event)))?;
        }
    }
    Ok(())
}

/// The query that the arguments describe.
fn conditions(mut query: Query, command: &Events) -> anyhow::Result<Query> {
    query = place(query, command)?;
    for event_type in &command.types {
        query = query.event_type(event_type);
    }
    for aggregate in &command.aggregate {
        query = query.aggregate(aggregate);
    }
    if let Some(id) = &command.id {
        query = query.aggregate_id(id);
    }
    query = match (command.since, command.before) {
        (Some(since), Some(before)) => query.occurred(since..before),
        (Some(since), None) => query.occurred(since..),
        (None, Some(before)) => query.occurred(..before),
        (None, None) => query,
    };
    if let Some(id) = &command.correlation_id {
        query = query.correlation_id(id);
    }
    if let Some(id) = &command.causation_id {
        query = query.causation_id(id);
    }
    for id in &command.event_ids {
        query = query.event_id(*id);
    }
    if let Some(part) = &command.contains {
        query = query.payload_contains(&json("--contains", part)?);
    }
    if let Some(path) = &command.path {
        query = query.payload_path(path);
    }
    if let Some(variables) = &command.vars {
        query = query.path_variables(&json("--vars", variables)?);
    }
    Ok(match command.dismissed {
        None => query,
        Some(Which::Also) => query.dismissed(Dismissed::Included),
        Some(Which::Only) => query.dismissed(Dismissed::Only),
    })
}

/// Which stream, and from where to where.
fn place(query: Query, command: &Events) -> anyhow::Result<Query> {
    let Some(name) = &command.stream else {
        let query = match &command.tenant {
            Some(tenant) => query.tenant(tenant),
            None => query,
        };
        let from = command.from.map_or(Bound::Unbounded, Bound::Excluded);
        let until = command.until.map_or(Bound::Unbounded, Bound::Included);
        let positions = if command.backward { (until, from) } else { (from, until) };
        return Ok(query.positions(positions));
    };
    let (aggregate, id) = name
        .split_once('/')
        .ok_or_else(|| exit::bad_input(format!("{name}: name a stream as AGGREGATE/ID")))?;
    let tenant = command.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
    let version = |name: &str, number: Option<i64>| {
        let version = number.map(i32::try_from).transpose();
        version
            .map_err(|_| exit::bad_input(format!("{name}: a stream has versions up to 2147483647")))
    };
    let (from, until) = (version("--from", command.from)?, version("--until", command.until)?);
    let from = from.map_or(Bound::Unbounded, Bound::Included);
    let until = until.map_or(Bound::Unbounded, Bound::Included);
    let versions = if command.backward { (until, from) } else { (from, until) };
    Ok(query.of_stream(StreamId::new(aggregate, id).in_tenant(tenant)).versions(versions))
}

fn json(name: &str, text: &str) -> anyhow::Result<Box<RawValue>> {
    RawValue::from_string(text.trim().to_owned())
        .map_err(|error| exit::bad_input(format!("{name} is not JSON: {error}")))
}

fn text(event: &Event) -> String {
    format!(
        "{:>8}  {}  {} v{}  {}  {}{}",
        event.position,
        event.occurred_at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        event.stream,
        event.version,
        event.event_type,
        event.payload.get(),
        if event.dismissed_at.is_some() { "  (dismissed)" } else { "" }
    )
}
