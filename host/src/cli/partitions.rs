//! `eventfabric partitions enable|create|list|detach|attach`

use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::connect::Context;
use super::output;
use crate::store::partition::{self, Partition, Step};

#[derive(Debug, clap::Args)]
pub(super) struct Partitions {
    #[command(subcommand)]
    pub command: PartitionsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum PartitionsCommand {
    /// Partition the log while it is in use; called again, it goes on where it stood
    Enable {
        /// Positions in a partition [default: as before, or 10000000]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        size: Option<i64>,
        /// Partitions to make ahead
        #[arg(long, value_name = "N", default_value_t = partition::DEFAULT_AHEAD,
              value_parser = clap::value_parser!(i32).range(1..=1000))]
        ahead: i32,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Make partitions for events to come (`run` does so by itself)
    Create {
        /// How many are to wait for events
        #[arg(long, value_name = "N", default_value_t = partition::DEFAULT_AHEAD,
              value_parser = clap::value_parser!(i32).range(1..=1000))]
        ahead: i32,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a partition out of the log: its events stay in a table of their own
    Detach {
        /// The partition, as `list` names it
        name: String,
        /// Even if projections have not handled all of its events, and never will
        #[arg(long)]
        unread: bool,
    },
    /// Put a partition back that was detached
    Attach {
        /// The partition, as `list` names it
        name: String,
    },
    /// Which partitions there are
    List {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(context: &Context, command: Partitions) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    match command.command {
        PartitionsCommand::Enable { size, ahead, json } => {
            let progress = Progress::start();
            let enabled = partition::enable(&pool, size, ahead, |step| progress.show(step)).await;
            progress.bar.finish_and_clear();
            let enabled = enabled?;
            if enabled.doubles > 0 {
                tracing::warn!(
                    events = enabled.doubles,
                    "some events have the id or the version of an earlier one"
                );
            }
            if json {
                return output::value(&enabled);
            }
            output::line(&match enabled.already {
                true => format!("the log had partitions; new ones are of {}", enabled.size),
                false => format!("the log has partitions now, of {} positions", enabled.size),
            })?;
            say_made(&enabled.created)
        }
        PartitionsCommand::Create { ahead, json } => {
            if !partition::is_partitioned(&pool).await? {
                return Err(partition::PartitionError::NotPartitioned.into());
            }
            let made = partition::create_ahead(&pool, ahead).await?;
            if json {
                return output::value(&serde_json::json!({ "created": made }));
            }
            if made.is_empty() {
                return output::line("nothing to do: there are enough");
            }
            say_made(&made)
        }
        PartitionsCommand::Detach { name, unread } => {
            partition::detach(&pool, &name, unread).await?;
            output::line(&format!(
                "{name} is out of the log; its events are in the table eventfabric.{name}"
            ))
        }
        PartitionsCommand::Attach { name } => {
            partition::attach(&pool, &name).await?;
            output::line(&format!("{name} is in the log again"))
        }
        PartitionsCommand::List { json } => {
            let partitions = partition::partitions(&pool).await?;
            let header = ["partition", "from", "to (excl.)", "state", "events (about)", "size"];
            output::list(&partitions, json, &header, row)
        }
    }
}

fn say_made(names: &[String]) -> anyhow::Result<()> {
    names.iter().try_for_each(|name| output::line(&format!("made {name}")))
}

fn row(partition: &Partition) -> Vec<String> {
    let bound = |bound: Option<i64>| bound.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let mut state = format!("{:?}", partition.state).to_lowercase();
    if partition.current {
        state.push_str(", current");
    }
    vec![
        partition.name.clone(),
        bound(partition.from),
        bound(partition.to),
        state,
        bound(partition.events),
        indicatif::BinaryBytes(partition.bytes.try_into().unwrap_or_default()).to_string(),
    ]
}

/// What is done, on a terminal as a bar and elsewhere as log lines.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn start() -> Self {
        let bar = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {human_pos}/{human_len}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    fn show(&self, step: Step) {
        let message = match step {
            Step::Keys { done, until } => {
                self.bar.set_length(until.max(0) as u64);
                self.bar.set_position(done.max(0) as u64);
                "writing the keys of the events"
            }
            Step::Looking => "looking through the log",
            Step::Switching => "changing the tables",
        };
        if self.bar.message() != message {
            self.bar.set_message(message);
            if self.bar.is_hidden() {
                tracing::info!("{message}");
            }
        }
    }
}
