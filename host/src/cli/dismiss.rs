//! `eventfabric dismiss`, `undismiss`, `dismissed`

use chrono::{DateTime, SecondsFormat, Utc};

use super::connect::Context;
use super::output;
use crate::store::{Dismissal, DismissalFilter, EventRef, EventStore};

#[derive(Debug, clap::Args)]
pub(super) struct Dismiss {
    /// Events by position or id; all of them or none
    #[arg(value_name = "EVENT", required = true)]
    pub events: Vec<EventRef>,
    /// The tenant whose events these are; needed where it has a database of its own (see `tenants`)
    #[arg(long)]
    pub tenant: Option<String>,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// Who does it
    #[arg(long, value_name = "NAME", env = "USER")]
    pub by: String,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Undismiss {
    /// Events by position or id; all of them or none
    #[arg(value_name = "EVENT", required = true)]
    pub events: Vec<EventRef>,
    /// The tenant whose events these are; needed where it has a database of its own (see `tenants`)
    #[arg(long)]
    pub tenant: Option<String>,
    /// Who does it
    #[arg(long, value_name = "NAME", env = "USER")]
    pub by: String,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Dismissed {
    /// Only of this event, by position or id
    #[arg(value_name = "EVENT")]
    pub event: Option<EventRef>,
    /// Only of this tenant
    #[arg(long)]
    pub tenant: Option<String>,
    /// Those that were undone, too, and who did that
    #[arg(long)]
    pub history: bool,
    /// Dismissals, at most; the newest come first
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Only those before this number of the list
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<i64>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn dismiss(context: &Context, command: Dismiss) -> anyhow::Result<()> {
    let store = EventStore::new(context.pool_of(command.tenant.as_deref()).await?);
    let Dismiss { events, reason, by, .. } = &command;
    let done = match &command.tenant {
        Some(tenant) => store.tenant(&tenant.parse()?).dismiss(events, reason, by).await?,
        None => store.dismiss(events, reason, by).await?,
    };
    print(&done, command.json, false)
}

pub(super) async fn undismiss(context: &Context, command: Undismiss) -> anyhow::Result<()> {
    let store = EventStore::new(context.pool_of(command.tenant.as_deref()).await?);
    let Undismiss { events, by, .. } = &command;
    let done = match &command.tenant {
        Some(tenant) => store.tenant(&tenant.parse()?).undo_dismissal(events, by).await?,
        None => store.undo_dismissal(events, by).await?,
    };
    // The hint that the store gives in the background would end with this process.
    store.wake().hint_now().await;
    print(&done, command.json, true)
}

pub(super) async fn list(context: &Context, command: Dismissed) -> anyhow::Result<()> {
    let store = EventStore::new(context.pool_of(command.tenant.as_deref()).await?);
    let filter = DismissalFilter {
        event: command.event,
        tenant: command.tenant,
        before: command.before,
        history: command.history,
    };
    let found = store.dismissals(&filter, command.limit).await?;
    print(&found, command.json, command.history)
}

fn print(dismissals: &[Dismissal], json: bool, history: bool) -> anyhow::Result<()> {
    let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut header = vec!["number", "position", "event", "reason", "by", "at", "held back"];
    if history {
        header.extend(["undone by", "undone at"]);
    }
    output::list(dismissals, json, &header, |d| {
        let stream = match (&d.aggregate, &d.aggregate_id, d.version, &d.event_type) {
            (Some(aggregate), Some(id), Some(version), Some(event_type)) => {
                format!("{aggregate}/{id} v{version} {event_type}")
            }
            _ => "(gone)".to_owned(),
        };
        let mut cells = vec![
            d.number.to_string(),
            d.position.to_string(),
            stream,
            d.reason.clone().unwrap_or_default(),
            d.dismissed_by.clone().unwrap_or_default(),
            time(&d.dismissed_at),
            d.held.to_string(),
        ];
        if history {
            cells.push(d.undone_by.clone().unwrap_or_default());
            cells.push(d.undone_at.as_ref().map(time).unwrap_or_default());
        }
        cells
    })
}
