//! `eventfabric plugin inspect`

use anyhow::Context as _;

use super::args::{self, PluginCommand};
use super::connect::Context;
use super::output;
use crate::plugin::{Limits, Runtime};
use crate::projection::TopicFilter;

pub(super) async fn run(context: &Context, command: args::Plugin) -> anyhow::Result<()> {
    let PluginCommand::Inspect { file, json } = command.command;
    let limits: Limits = context.settings.limits.clone();
    let bytes = tokio::fs::read(&file).await.with_context(|| format!("{}", file.display()))?;
    let size = bytes.len();
    let runtime = Runtime::new(context.settings.cache_dir.clone(), limits)?;
    let plugin = runtime
        .load(bytes.into())
        .await
        .with_context(|| format!("{} is no plugin that this host runs", file.display()))?;
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
