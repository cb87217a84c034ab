//! (b) Catch-up of a log: by plugins, by native programs that do the same, and by one statement.

use crate::host::{self, Running};
use crate::place::Database;
use crate::table::{Row, compare, in_turns};
use crate::{Bench, guest, limit, native, week};

/// A way of filling a read model from the log.
#[derive(Clone, Copy)]
pub enum Way {
    /// A plugin, with its setting `way`.
    Plugin(&'static str),
    Native(native::Way),
    /// The whole log in one statement.
    Statement,
}

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let db = bench.place.database("catch_up").await?;
    week::fill(&db, bench.events()).await?;
    host::install(&db, &bench.guests, guest::CATCH_UP, 1).await?;
    native::install(&db).await?;
    let mut table = Vec::new();
    for (model, ways) in [
        (
            "carriers",
            [
                ("wasm, execute", Way::Plugin("carriers execute")),
                ("native, execute", Way::Native(native::Way::Carriers)),
                ("wasm, execute-batch", Way::Plugin("carriers batch")),
                ("wasm, merged", Way::Plugin("carriers merged")),
                ("native, merged", Way::Native(native::Way::CarriersMerged)),
                ("one statement", Way::Statement),
            ],
        ),
        (
            "aircraft",
            [
                ("wasm, execute", Way::Plugin("aircraft execute")),
                ("native, execute", Way::Native(native::Way::Aircraft)),
                ("wasm, execute-batch", Way::Plugin("aircraft batch")),
                ("wasm, merged", Way::Plugin("aircraft merged")),
                ("native, merged", Way::Native(native::Way::AircraftMerged)),
                ("one statement", Way::Statement),
            ],
        ),
    ] {
        let case = format!("{model}, {} events", bench.events());
        let measure = async |way| one(&db, model, way, bench.events()).await;
        let mut rows = in_turns(bench.rounds(), &ways, &case, "events/s", measure).await?;
        compare(&mut rows, "wasm, execute", "native, execute", Some(0.9));
        compare(&mut rows, "wasm, execute-batch", "native, execute", Some(8.0));
        compare(&mut rows, "wasm, merged", "native, merged", Some(0.9));
        let half = (model == "carriers").then_some(0.5);
        compare(&mut rows, "wasm, merged", "one statement", half);
        table.append(&mut rows);
    }
    db.remove().await?;
    Ok(table)
}

/// Fills a read model from the beginning, and sees that it is the right one.
pub async fn one(db: &Database, model: &str, way: Way, events: i64) -> anyhow::Result<f64> {
    let name = guest::name(guest::CATCH_UP, 0);
    let schema = if matches!(way, Way::Plugin(_)) { &name } else { native::SCHEMA };
    db.execute(&format!(
        "TRUNCATE {schema}.{model}; DELETE FROM eventfabric.projection_checkpoints; CHECKPOINT"
    ))
    .await?;
    let rate = match way {
        Way::Plugin(way) => hosted(db, way).await?,
        Way::Native(way) => native::run(db, way).await?,
        Way::Statement => limit::run(db, model, events).await?,
    };
    let made = db.digest(&format!("{schema}.{model}")).await?;
    let wanted = db.digest(&limit::wanted(model)).await?;
    anyhow::ensure!(made == wanted, "{model} is not what it should be");
    Ok(rate)
}

async fn hosted(db: &Database, way: &str) -> anyhow::Result<f64> {
    let config = host::config(guest::CATCH_UP, 1, way);
    let end = db.number("SELECT max(global_position) FROM eventfabric.events").await?;
    let running = Running::start(db, config).await?;
    let rate = host::rate(db, host::CHECKPOINTS, end).await?;
    running.stop().await?;
    Ok(rate)
}
