//! `eventfabric query`

use super::connect::Context;
use super::{args, output};

pub(super) async fn run(context: &Context, command: args::Query) -> anyhow::Result<()> {
    let pool = context.pool().await?;
    let sandbox = crate::sandbox::Sandbox::new(pool, context.settings.sandbox.clone());
    let rows = sandbox.read(&command.plugin, &command.sql).await?;
    if command.json {
        let objects: Vec<serde_json::Map<String, serde_json::Value>> = rows
            .rows
            .into_iter()
            .map(|row| rows.columns.iter().cloned().zip(row.into_iter().map(Into::into)).collect())
            .collect();
        return output::value(&objects);
    }
    let cells = |row: Vec<Option<String>>| {
        row.into_iter().map(|cell| cell.unwrap_or_else(|| "∅".to_owned())).collect()
    };
    output::table(&rows.columns, rows.rows.into_iter().map(cells))
}
