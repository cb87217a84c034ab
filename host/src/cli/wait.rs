//! `eventfabric wait`

use std::time::{Duration, Instant};

use super::connect::Context;
use super::exit::{Exit, NOT_IN_TIME};
use super::{args, output};
use crate::runner;

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
