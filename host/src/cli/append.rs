//! `eventfabric append`

use std::io::Read as _;

use anyhow::Context as _;
use serde_json::value::RawValue;

use super::connect::Context;
use super::{args, exit, output};
use crate::event::{NewEvent, StreamId};
use crate::projection::Mode;
use crate::store;
use crate::trace::TraceContext;

pub(super) async fn run(context: &Context, command: args::Append) -> anyhow::Result<()> {
    let payload = match command.payload.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("the payload on stdin")?;
            text
        }
        _ => command.payload,
    };
    let payload = RawValue::from_string(payload.trim().to_owned())
        .map_err(|error| exit::bad_input(format!("--payload is not JSON: {error}")))?;
    let topic = command.topic.or_else(|| context.settings.topics.get(&command.aggregate).cloned());
    let host = context.host_of(&command.tenant, Some(Mode::Inline)).await?;
    let stream = StreamId::new(command.aggregate, command.id).in_tenant(command.tenant);
    let event = NewEvent {
        id: command.event_id,
        event_type: command.event_type,
        schema_version: command.schema_version,
        payload,
        occurred_at: command.occurred_at,
        correlation_id: command.correlation_id,
        causation_id: command.causation_id,
        trace: command.traceparent.or_else(of_environment),
    };
    let appended = host
        .store()
        .append_all(vec![store::Append {
            stream: stream.clone(),
            expected: command.expected,
            topic,
            events: vec![event],
        }])
        .await?;
    host.store().wake().hint_now().await;
    for event in &appended.events {
        if command.json {
            output::value(&serde_json::json!({
                "position": event.position,
                "version": event.version,
                "event_id": event.id,
                "repeated": appended.repeated,
            }))?;
        } else {
            let again = if appended.repeated { " (it was there already)" } else { "" };
            output::line(&format!(
                "{stream} is at version {}, position {}, event {}{again}",
                event.version, event.position, event.id
            ))?;
        }
    }
    Ok(())
}

/// The trace that a caller hands on in its environment; what is none is ignored, as in a request.
fn of_environment() -> Option<TraceContext> {
    let parent = std::env::var("TRACEPARENT").ok()?;
    TraceContext::parse(&parent, std::env::var("TRACESTATE").ok().as_deref()).ok()
}
