//! `eventfabric wait`

use std::time::{Duration, Instant};

use super::connect::Context;
use super::exit::{Exit, FAILED, NOT_IN_TIME};
use super::{args, output};
use crate::{plugin, runner};

/// Between two looks, at most.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn run(context: &Context, command: args::Wait) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    let start = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        let progress = runner::progress(&pool).await?;
        if progress.projections > 0 && progress.behind == 0 {
            return output::line(&format!("caught up after {:.1?}", start.elapsed()));
        }
        if progress.projections > 0 {
            going(&pool).await?;
        }
        if start.elapsed() >= command.timeout {
            if progress.projections == 0 {
                let message = "there is no projection to wait for: has a host run with plugins on \
                               this database?";
                return Err(Exit { code: NOT_IN_TIME, message: message.to_owned() }.into());
            }
            let statuses = runner::statuses(&pool).await?;
            let behind: Vec<String> = statuses
                .iter()
                .filter(|status| status.behind > 0)
                .map(|status| match &status.last_error {
                    Some(error) => format!("{} ({}; {error})", status.name, status.behind),
                    None => format!("{} ({})", status.name, status.behind),
                })
                .collect();
            let message = format!(
                "not caught up within {:?}; behind: {}. Is a host running, and does \
                 `eventfabric projections status` show an error?",
                command.timeout,
                behind.join(", ")
            );
            return Err(Exit { code: NOT_IN_TIME, message }.into());
        }
        tokio::time::sleep(pause.min(command.timeout.saturating_sub(start.elapsed()))).await;
        pause = (pause * 2).min(LOOK);
    }
}

/// Fails when a projection that is behind will not move by itself, however long one waits.
async fn going(pool: &sqlx::PgPool) -> anyhow::Result<()> {
    let mut registered = plugin::registered(pool).await?;
    registered.retain(|projection| !projection.runs());
    if registered.is_empty() {
        return Ok(());
    }
    let statuses = runner::statuses(pool).await?;
    for projection in registered {
        let name = &projection.name;
        if !statuses.iter().any(|status| status.name == *name && status.behind > 0) {
            continue;
        }
        let why = match &projection.paused {
            Some(paused) => match &paused.reason {
                Some(reason) => format!("is paused ({reason}): `projections resume {name}`"),
                None => format!("is paused: `projections resume {name}`"),
            },
            None => {
                let error = projection.last_error.as_deref().unwrap_or("see the log of its host");
                format!("has stopped: {error}")
            }
        };
        let message = format!("`{name}` is behind and {why}");
        return Err(Exit { code: FAILED, message }.into());
    }
    Ok(())
}
