//! `eventfabric migrate`

use super::args;
use super::connect::Context;
use super::output;
use crate::store;

pub(super) async fn run(context: &Context, command: args::Migrate) -> anyhow::Result<()> {
    let pool = context.pool_as_it_is().await?;
    let report = store::migrate::migrate(&pool).await?;
    if command.json {
        let applied: Vec<&String> = report.applied.iter().map(|(name, _)| name).collect();
        return output::value(&serde_json::json!({
            "applied": applied,
            "already": report.already,
        }));
    }
    for (name, took) in &report.applied {
        output::line(&format!("applied {name} ({took:.1?})"))?;
    }
    output::line(&match (report.applied.len(), report.already) {
        (0, already) => format!("nothing to do: all {already} migrations are there"),
        (n, already) => format!("applied {n}, {already} were there"),
    })
}
