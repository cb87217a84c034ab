//! `eventfabric events`

use futures::{Stream, StreamExt as _, TryStreamExt as _, pin_mut};

use super::connect::Context;
use super::{args, exit, output};
use crate::event::{Event, StreamId};
use crate::store::{Direction, EventStore, LogFilter, StoreError};

pub(super) async fn run(context: &Context, command: args::Events) -> anyhow::Result<()> {
    let store = EventStore::new(context.pool().await?);
    let limit = if command.limit == 0 { usize::MAX } else { command.limit };
    match &command.stream {
        Some(name) => {
            let (aggregate, id) = name
                .split_once('/')
                .ok_or_else(|| exit::bad_input(format!("{name}: name a stream as AGGREGATE/ID")))?;
            let mut stream = StreamId::new(aggregate, id);
            if let Some(tenant) = command.tenant {
                stream = stream.in_tenant(tenant);
            }
            let direction = if command.backward { Direction::Backward } else { Direction::Forward };
            let from =
                command.from.map(i32::try_from).transpose().map_err(|_| {
                    exit::bad_input("--from: a stream has versions up to 2147483647")
                })?;
            print(store.read_stream(stream, direction, from), limit, command.json).await
        }
        None => {
            let filter = LogFilter {
                after: command.from.unwrap_or(0),
                types: command.types,
                aggregates: command.aggregate,
                tenant: command.tenant,
                ..LogFilter::default()
            };
            print(store.read_log(filter), limit, command.json).await
        }
    }
}

async fn print(
    events: impl Stream<Item = Result<Event, StoreError>>,
    limit: usize,
    json: bool,
) -> anyhow::Result<()> {
    let events = events.take(limit);
    pin_mut!(events);
    while let Some(event) = events.try_next().await? {
        if json {
            output::line(&serde_json::to_string(&event)?)?;
        } else {
            output::line(&output::on_one_line(&format!(
                "{:>8}  {}  {} v{}  {}  {}",
                event.position,
                event.occurred_at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
                event.stream,
                event.version,
                event.event_type,
                event.payload.get()
            )))?;
        }
    }
    Ok(())
}
