//! `eventfabric dlq list|requeue`

use super::args::{self, DlqCommand};
use super::connect::Context;
use super::{exit, output};
use crate::store::{self, LetterFilter};

pub(super) async fn run(context: &Context, command: args::Dlq) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    match command.command {
        DlqCommand::List { projection, limit, json } => {
            let filter =
                LetterFilter { projection: projection.as_deref(), ..LetterFilter::default() };
            let letters = store::dead_letters(&pool, &filter, limit).await?;
            let header =
                ["id", "projection", "position", "event", "attempts", "dead since", "error"];
            output::list(&letters, json, &header, |letter| {
                vec![
                    letter.id.to_string(),
                    letter.projection.clone().unwrap_or_else(|| "(all)".to_owned()),
                    letter.position.to_string(),
                    letter.event_type.clone().unwrap_or_else(|| "(gone)".to_owned()),
                    letter.attempts.to_string(),
                    letter.dead_lettered_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                    letter.error.clone().unwrap_or_default(),
                ]
            })
        }
        DlqCommand::Requeue { ids, projection, all, json } => {
            let by_id = (!all && !ids.is_empty()).then_some(ids.as_slice());
            let filter = LetterFilter {
                ids: by_id,
                projection: projection.as_deref(),
                ..LetterFilter::default()
            };
            let requeued = store::requeue(&pool, &filter).await?;
            store::notify_events(&pool).await?;
            if json {
                return output::value(&serde_json::json!({ "requeued": requeued }));
            }
            if requeued == 0 && by_id.is_some() {
                return Err(exit::bad_input("there is no such dead letter: see `dlq list`"));
            }
            output::line(&match requeued {
                0 => "there was nothing to requeue".to_owned(),
                1 => "1 dead letter goes back to its projection".to_owned(),
                n => format!("{n} dead letters go back to their projections"),
            })
        }
    }
}
