//! `eventfabric plugin inspect`

use std::path::Path;

use super::connect::Context;
use super::{exit, output, versions};
use crate::plugin::{Limits, Plugin, Runtime};
use crate::projection::TopicFilter;

/// A component that this host would run.
///
/// # Errors
/// It can't be read, or is none.
pub(super) async fn load(context: &Context, file: &Path) -> anyhow::Result<(Plugin, usize)> {
    let limits: Limits = context.settings.limits.clone();
    let bytes = versions::bytes(file).await?;
    let size = bytes.len();
    let runtime = Runtime::new(context.settings.cache_dir.clone(), limits)?.compiling_apart();
    let plugin = runtime.load(bytes.into()).await.map_err(|error| {
        let file = file.display();
        exit::refused(&error, format!("{file} is no plugin that this host runs: {error}"))
    })?;
    Ok((plugin, size))
}

/// Shows what a component is, once it is known that this host would run it.
pub(super) async fn run(context: &Context, file: &Path, json: bool) -> anyhow::Result<()> {
    let (plugin, size) = load(context, file).await?;
    let description = &plugin.description;
    if json {
        return output::value(&serde_json::json!({
            "file": file,
            "sha256": plugin.version.full(),
            "bytes": size,
            "description": description,
            "imports": plugin.imports,
            "queries": plugin.queries(),
            "process_manager": plugin.is_process_manager(),
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
        ("file", file.display().to_string()),
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
    let queries = plugin.queries().iter().map(|query| query.name.as_str());
    rows.push(("queries", queries.collect::<Vec<_>>().join("\n")));
    if plugin.is_process_manager() {
        let grant =
            format!("eventfabric plugin grants {} --add append:AGGREGATE", description.name);
        rows.push(("appends", format!("events, where it may: {grant}")));
    }
    output::table(&["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}
