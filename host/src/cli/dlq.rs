//! `eventfabric dlq list|show|requeue|purge`

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Subcommand;

use super::connect::Context;
use super::{exit, export, output};
use crate::event::Event;
use crate::projection::ErrorClass;
use crate::store::{self, DeadLetter, LetterFilter};

#[derive(Debug, Subcommand)]
pub(super) enum Dlq {
    /// The newest dead letters
    List {
        #[command(flatten)]
        which: Which,
        /// Letters, at most
        #[arg(long, default_value_t = 100)]
        limit: i64,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// One letter: the event with its payload, the error, and the statement that failed
    #[command(after_help = "\
A capsule is a file with the event, the settings of the plugin, the error, and every statement that the handler \
runs with its parameters and the rows that it gets; beside it lies the component. For it the event is \
handled once more, by the version that failed, and rolled back. It holds what these tables and events hold, \
personal data and secrets of the settings included: see docs/authors.md.

Examples:
  eventfabric dlq show 17 --export letter-17.json
  eventfabric plugin replay letter-17.json                          # anywhere, without a database")]
    Show {
        /// The letter
        id: i64,
        /// Write a capsule, with which `plugin replay` fails on another machine as it failed here
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Hand events once more to the projection that failed, and to no other, in the order of streams
    Requeue {
        #[command(flatten)]
        chosen: Chosen,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete letters for good; their projections never get these events
    Purge {
        #[command(flatten)]
        chosen: Chosen,
        /// Yes, delete them
        #[arg(long)]
        yes: bool,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which letters.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Which {
    /// Only of this projection
    #[arg(long)]
    projection: Option<String>,
    /// Only of this class of errors: poison, fatal, retry (that is, tried too often) or trap
    #[arg(long, value_name = "CLASS")]
    class: Option<ErrorClass>,
    /// Only of events from this position on
    #[arg(long, value_name = "POSITION")]
    from_position: Option<i64>,
    /// Only of events up to this position
    #[arg(long, value_name = "POSITION")]
    to_position: Option<i64>,
    /// Only those given up at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// Only those given up before this time
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// Only of this tenant's events
    #[arg(long)]
    tenant: Option<String>,
}

/// Which letters, said on purpose.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Chosen {
    /// The letters
    #[arg(value_name = "ID", required_unless_present_any = [
        "all", "projection", "class", "from_position", "to_position", "since", "until", "tenant"])]
    ids: Vec<i64>,
    /// All letters
    #[arg(long, conflicts_with_all = [
        "ids", "projection", "class", "from_position", "to_position", "since", "until", "tenant"])]
    all: bool,
    #[command(flatten)]
    which: Which,
}

impl Which {
    fn filter<'a>(&'a self, ids: &'a [i64]) -> LetterFilter<'a> {
        LetterFilter {
            ids: Some(ids).filter(|ids| !ids.is_empty()),
            projection: self.projection.as_deref(),
            tenant: self.tenant.as_deref(),
            before: None,
            error_class: self.class.map(ErrorClass::as_str),
            from_position: self.from_position,
            to_position: self.to_position,
            since: self.since,
            until: self.until,
        }
    }
}

pub(super) async fn run(context: &Context, command: Dlq) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    match command {
        Dlq::List { which, limit, json } => {
            let letters = store::dead_letters(&pool, &which.filter(&[]), limit).await?;
            list(&letters, json)
        }
        Dlq::Show { id, export, json } => {
            let Some((letter, event)) = store::dead_letter(&pool, id, None).await? else {
                return Err(exit::bad_input(format!(
                    "there is no dead letter {id}: see `dlq list`"
                )));
            };
            match export {
                None => show(&letter, event.as_ref(), json),
                Some(file) => export::run(context, &letter, event, &file, json).await,
            }
        }
        Dlq::Requeue { chosen, json } => {
            let filter = chosen.which.filter(&chosen.ids);
            let requeued = store::requeue(&pool, &filter).await?;
            store::notify_events(&pool).await?;
            if json {
                return output::value(&serde_json::json!({ "requeued": requeued }));
            }
            refuse_none(requeued, &chosen)?;
            output::line(&match requeued {
                0 => "there was nothing to requeue".to_owned(),
                1 => "1 dead letter goes back to its projection".to_owned(),
                n => format!("{n} dead letters go back to their projections"),
            })
        }
        Dlq::Purge { chosen, yes, json } => {
            let filter = chosen.which.filter(&chosen.ids);
            if !yes {
                return Err(exit::bad_input(
                    "their projections would never get these events: look at them with `dlq list` \
                     and the same options, and add --yes to delete them",
                ));
            }
            let purged = store::purge(&pool, &filter).await?;
            // What waited behind them, where the order of streams is kept, waits no longer.
            store::notify_events(&pool).await?;
            if json {
                return output::value(&serde_json::json!({ "purged": purged }));
            }
            refuse_none(purged, &chosen)?;
            output::line(&match purged {
                0 => "there was nothing to delete".to_owned(),
                1 => "1 dead letter is deleted".to_owned(),
                n => format!("{n} dead letters are deleted"),
            })
        }
    }
}

fn refuse_none(done: i64, chosen: &Chosen) -> anyhow::Result<()> {
    if done == 0 && !chosen.ids.is_empty() {
        return Err(exit::bad_input("there is no such dead letter: see `dlq list`"));
    }
    Ok(())
}

fn list(letters: &[DeadLetter], json: bool) -> anyhow::Result<()> {
    let header =
        ["id", "projection", "position", "event", "class", "attempts", "dead since", "error"];
    output::list(letters, json, &header, |letter| {
        vec![
            letter.id.to_string(),
            letter.projection.clone().unwrap_or_else(|| "(all)".to_owned()),
            letter.position.to_string(),
            letter.event_type.clone().unwrap_or_else(|| "(gone)".to_owned()),
            letter.error_class.clone().unwrap_or_default(),
            letter.attempts.to_string(),
            output::time(letter.dead_lettered_at),
            letter.error.clone().unwrap_or_default(),
        ]
    })
}

fn show(letter: &DeadLetter, event: Option<&Event>, json: bool) -> anyhow::Result<()> {
    if json {
        return output::value(&serde_json::json!({ "letter": letter, "event": event }));
    }
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let projection = letter.projection.clone().unwrap_or_else(|| "(all)".to_owned());
    let first = letter.first_failed_at.map(output::time).unwrap_or_else(|| "-".to_owned());
    let mut lines = vec![
        ("letter", letter.id.to_string()),
        ("projection", projection),
        ("plugin version", or_none(&letter.plugin_version)),
        ("attempts", letter.attempts.to_string()),
        ("first failure", first),
        ("given up", output::time(letter.dead_lettered_at)),
        ("class", or_none(&letter.error_class)),
        ("SQLSTATE", or_none(&letter.sqlstate)),
        ("error", or_none(&letter.error)),
        ("failed SQL", or_none(&letter.failed_sql)),
        ("position", letter.position.to_string()),
        ("tenant", letter.tenant.clone()),
        ("topic", or_none(&letter.topic)),
    ];
    match event {
        Some(event) => {
            let payload: serde_json::Value = serde_json::from_str(event.payload.get())?;
            lines.extend([
                ("stream", event.stream.to_string()),
                ("version", event.version.to_string()),
                ("event id", event.id.to_string()),
                ("type", format!("{} (schema {})", event.event_type, event.schema_version)),
                ("occurred", output::time(event.occurred_at)),
                ("payload", serde_json::to_string_pretty(&payload)?),
            ]);
            if let Some(trace) = &event.trace {
                lines.push(("traceparent", trace.traceparent()));
            }
            if let Some(at) = event.dismissed_at {
                lines.push(("dismissed", output::time(at)));
            }
        }
        None => lines.push(("event", "it is no longer in the log".to_owned())),
    }
    for (name, value) in lines {
        let value = output::printable(&value).replace('\n', "\n                ");
        output::line(&format!("{name:<16}{value}"))?;
    }
    Ok(())
}
