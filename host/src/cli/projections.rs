//! `eventfabric projections list|status`

use super::args::{self, ProjectionsCommand};
use super::connect::Context;
use super::output;
use crate::{plugin, runner};

pub(super) async fn run(context: &Context, command: args::Projections) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    match command.command {
        ProjectionsCommand::List { json } => {
            let rows = plugin::registered(&pool).await?;
            output::list(&rows, json, &["projection", "mode", "version", "active since"], |row| {
                vec![
                    row.name.clone(),
                    row.mode.to_string(),
                    short(&row.version),
                    row.activated_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                ]
            })
        }
        ProjectionsCommand::Status { json } => {
            let rows = runner::statuses(&pool).await?;
            let header = [
                "projection",
                "mode",
                "version",
                "state",
                "position",
                "behind",
                "retries",
                "dead letters",
                "error",
            ];
            output::list(&rows, json, &header, |row| {
                vec![
                    row.name.clone(),
                    row.mode.clone(),
                    short(&row.version),
                    row.state.clone(),
                    row.position.map(|n| n.to_string()).unwrap_or_default(),
                    row.behind.to_string(),
                    row.retries.to_string(),
                    row.dead_letters.to_string(),
                    row.last_error.clone().unwrap_or_default(),
                ]
            })
        }
    }
}

fn short(version: &str) -> String {
    version.chars().take(12).collect()
}
