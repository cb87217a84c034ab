//! `eventfabric projections list|set|pause|resume`; `status.rs`, `costs.rs` and `rebuild.rs` have the others.

use anyhow::Context as _;

use super::args::{self, ProjectionsCommand};
use super::connect::Context;
use super::{costs, output, rebuild, status};
use crate::plugin::{OnPoison, SettingsChange};
use crate::projection::TopicFilter;
use crate::{plugin, store};

/// What to change. All hosts follow within a second.
#[derive(Debug, clap::Args)]
#[group(id = "change", required = true, multiple = true,
        args = ["shards", "on_poison", "stream_order", "topics", "priority"])]
pub(super) struct Set {
    /// The projection
    name: String,
    /// Catch-up: parts of the log, by the hash of the stream, that are handled at the same time (1 to
    /// 256)
    #[arg(long, value_name = "N")]
    shards: Option<i32>,
    /// Catch-up: at an event that can't be handled, `stop`, or `set-aside` as a dead letter
    #[arg(long, value_name = "WHAT")]
    on_poison: Option<OnPoison>,
    /// Async: whether later events of a stream wait behind one that failed
    #[arg(long, value_name = "BOOL")]
    stream_order: Option<bool>,
    /// Async: `all`, `include:a,b`, `exclude:a,b`, or `plugin` for those that the plugin names
    #[arg(long, value_name = "TOPICS", value_parser = topics)]
    topics: Option<Topics>,
    /// Inline: lower ones run first
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    priority: Option<i32>,
}

/// Whom to pause, and what to tell others.
#[derive(Debug, clap::Args)]
pub(super) struct Pause {
    /// The projection
    name: String,
    /// Why, for who asks
    #[arg(long)]
    reason: Option<String>,
    /// Who you are
    #[arg(long, env = "USER")]
    by: Option<String>,
}

/// Topics of one's own, or those that the plugin names.
#[derive(Debug, Clone)]
struct Topics(Option<TopicFilter>);

fn topics(text: &str) -> Result<Topics, String> {
    let list = |names: &str| names.split(',').map(|name| name.trim().to_owned()).collect();
    Ok(Topics(match text.split_once(':') {
        None if text == "plugin" => None,
        None if text == "all" => Some(TopicFilter::All),
        Some(("include", names)) => Some(TopicFilter::Include(list(names))),
        Some(("exclude", names)) => Some(TopicFilter::Exclude(list(names))),
        _ => return Err("give `all`, `include:a,b`, `exclude:a,b`, or `plugin`".to_owned()),
    }))
}

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
        ProjectionsCommand::Status(command) => status::run(&pool, command).await,
        ProjectionsCommand::Costs(command) => costs::run(&pool, command).await,
        ProjectionsCommand::Rebuild(command) => rebuild::rebuild(context, command).await,
        ProjectionsCommand::Reset(command) => rebuild::reset(context, &pool, command).await,
        ProjectionsCommand::Set(set) => {
            let change = SettingsChange {
                shards: set.shards,
                on_poison: set.on_poison,
                stream_order: set.stream_order,
                topics: set.topics.map(|Topics(topics)| topics),
                priority: set.priority,
            };
            plugin::change(&pool, &set.name, &change).await?;
            tell(&pool).await?;
            println!("{} is changed", set.name);
            Ok(())
        }
        ProjectionsCommand::Pause(command) => pause(&pool, &command).await,
        ProjectionsCommand::Resume { name } => resume(&pool, &name).await,
    }
}

pub(super) async fn pause(pool: &sqlx::PgPool, command: &Pause) -> anyhow::Result<()> {
    let (name, by, reason) = (&command.name, command.by.as_deref(), command.reason.as_deref());
    plugin::pause(pool, name, by, reason).await?;
    tell(pool).await?;
    output::line(&format!("{name} is paused; `eventfabric projections resume {name}` ends it"))
}

pub(super) async fn resume(pool: &sqlx::PgPool, name: &str) -> anyhow::Result<()> {
    plugin::resume(pool, name).await?;
    tell(pool).await?;
    output::line(&format!("{name} runs again"))
}

/// Tells the hosts; they would find out within a second.
pub(super) async fn tell(pool: &sqlx::PgPool) -> anyhow::Result<()> {
    store::notify_plugins(pool).await.context("the hosts could not be told")
}

pub(super) fn short(version: &str) -> String {
    plugin::short(version).to_owned()
}
