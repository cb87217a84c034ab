//! `eventfabric plugin inspect`; `deploy.rs`, `versions.rs` and `grants.rs` have the others.

use std::path::Path;

use super::args::{self, PluginCommand};
use super::connect::Context;
use super::{config, deploy, exit, grants, logs, output, projections, versions};
use crate::plugin::{Limits, Runtime};
use crate::projection::TopicFilter;

pub(super) async fn run(context: &Context, command: args::Plugin) -> anyhow::Result<()> {
    match command.command {
        PluginCommand::Deploy(command) => deploy::deploy(context, command).await,
        PluginCommand::Check(command) => versions::check(context, command).await,
        PluginCommand::Diff(command) => versions::compare(context, command).await,
        PluginCommand::Versions(command) => versions::versions(context, command).await,
        PluginCommand::History(command) => versions::history(context, command).await,
        PluginCommand::Rollback(command) => deploy::rollback(context, command).await,
        PluginCommand::Retire(command) => deploy::retire(context, command).await,
        PluginCommand::Config(command) => config::run(context, command).await,
        PluginCommand::Logs(command) => logs::run(context, command).await,
        PluginCommand::Pause(command) => projections::pause(&context.pool().await?, &command).await,
        PluginCommand::Resume { name } => projections::resume(&context.pool().await?, &name).await,
        PluginCommand::Remove(command) => versions::remove(context, command).await,
        PluginCommand::Inspect { file, json } => inspect(context, &file, json).await,
        PluginCommand::Show { name, json } => grants::show(context, &name, json).await,
        PluginCommand::Learn { name, sql } => grants::learn(context, &name, &sql).await,
        PluginCommand::Roles { names } => {
            context.pool().await?;
            output::text(&context.sandbox().await?.roles_script(&names).await?)
        }
        PluginCommand::Grants(command) => grants::run(context, command).await,
    }
}

async fn inspect(context: &Context, file: &Path, json: bool) -> anyhow::Result<()> {
    let limits: Limits = context.settings.limits.clone();
    let bytes = versions::bytes(file).await?;
    let size = bytes.len();
    let runtime = Runtime::new(context.settings.cache_dir.clone(), limits)?.compiling_apart();
    let plugin = runtime.load(bytes.into()).await.map_err(|error| {
        let file = file.display();
        exit::bad_input(format!("{file} is no plugin that this host runs: {error}"))
    })?;
    let description = &plugin.description;
    if json {
        return output::value(&serde_json::json!({
            "file": file,
            "sha256": plugin.version.full(),
            "bytes": size,
            "description": description,
            "imports": plugin.imports,
            "compile_ms": plugin.compile_time.as_millis() as u64,
        }));
    }
    let events = match description.event_types.as_slice() {
        [] => "all".to_owned(),
        types => types.join(", "),
    };
    let topics = match &description.topics {
        TopicFilter::All => "all".to_owned(),
        TopicFilter::Include(topics) => format!("only {}", topics.join(", ")),
        TopicFilter::Exclude(topics) => format!("all but {}", topics.join(", ")),
    };
    let mut rows = vec![
        ("name", description.name.clone()),
        ("text", description.text.clone()),
        ("mode", description.mode.to_string()),
        ("events", events),
        ("topics", topics),
        ("version", plugin.version.full().to_owned()),
        ("size", format!("{size} bytes, compiled in {:.0?}", plugin.compile_time)),
        ("imports", plugin.imports.join("\n")),
    ];
    let migrations: Vec<String> = description
        .migrations
        .iter()
        .map(|step| format!("{} {}", step.number, step.name))
        .collect();
    rows.push(("migrations", migrations.join("\n")));
    output::table(&["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}
