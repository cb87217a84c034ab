//! (d) Appends a second with plugins in their transaction: none, one and five.

use std::time::Duration;

use eventfabric::projection::Mode;
use eventfabric::runner::Host;

use crate::append::{Caller, rate};
use crate::place::Database;
use crate::table::{Row, compare, in_turns};
use crate::{Bench, guest, host};

/// Each writes the row of the stream's aircraft: callers do not wait for each other there.
const WAY: &str = "aircraft batch";

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut places = Vec::new();
    for plugins in [0, 1, 5] {
        let db = bench.place.database(&format!("inline_{plugins}")).await?;
        host::install(&db, &bench.guests, guest::INLINE, plugins).await?;
        let config = host::config(guest::INLINE, plugins, WAY);
        places.push((Host::open(db.owner.clone(), config, Some(Mode::Inline)).await?, db));
    }
    let mut table = Vec::new();
    for callers in [1, 8] {
        let ways = [("no plugin", 0), ("1 plugin", 1), ("5 plugins", 2)];
        let case = if callers == 1 { "1 caller" } else { "8 callers" };
        let measure = async |way: usize| {
            let (host, db) = &places[way];
            appends(host, db, callers, bench.time()).await
        };
        let mut rows = in_turns(bench.rounds(), &ways, case, "appends/s", measure).await?;
        compare(&mut rows, "1 plugin", "no plugin", None);
        compare(&mut rows, "5 plugins", "no plugin", None);
        table.append(&mut rows);
    }
    for (host, db) in places {
        host.close().await;
        db.remove().await?;
    }
    Ok(table)
}

async fn appends(
    host: &Host,
    db: &Database,
    callers: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    db.execute("TRUNCATE eventfabric.outbox").await?;
    let callers = (0..callers).map(|_| Caller::append(host.store().clone(), 1)).collect();
    rate(callers, time).await
}
