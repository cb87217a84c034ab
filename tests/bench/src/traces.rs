//! What traces cost: without any, with all recorded, with one of a hundred. The collector is in this process.

use eventfabric::store::EventStore;
use eventfabric::telemetry::{self, TelemetryConfig};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::append::{Caller, rate};
use crate::async_workers::{Way, one};
use crate::place::Database;
use crate::table::{Row, compare, in_turns};
use crate::{Bench, guest, host, week};

const WAYS: [(&str, Option<f64>); 3] =
    [("off", None), ("all recorded", Some(1.0)), ("1 of 100 recorded", Some(0.01))];

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let collector = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", collector.local_addr()?);
    let collecting = tokio::spawn(async move {
        while let Ok((stream, _)) = collector.accept().await {
            tokio::spawn(take(stream));
        }
    });
    let mut table = appends(bench, &url).await?;
    table.append(&mut deliveries(bench, &url).await?);
    collecting.abort();
    Ok(table)
}

async fn appends(bench: &Bench, url: &str) -> anyhow::Result<Vec<Row>> {
    let db = bench.place.database("traces").await?;
    let pool = eventfabric::db::pool(db.owner.clone(), 20);
    let store = EventStore::new(pool.clone()).with_group_commit();
    let mut table = Vec::new();
    for (callers, case) in [(1, "append, 1 caller"), (8, "append, 8 callers")] {
        let measure = async |sample| {
            let all = (0..callers).map(|_| Caller::append(store.clone(), 1)).collect();
            recorded(url, sample, rate(all, bench.time())).await
        };
        let mut rows = in_turns(bench.rounds(), &WAYS, case, "commits/s", measure).await?;
        beside_off(&mut rows);
        table.append(&mut rows);
        db.execute("TRUNCATE eventfabric.outbox; CHECKPOINT").await?;
    }
    pool.close().await;
    db.remove().await?;
    Ok(table)
}

async fn deliveries(bench: &Bench, url: &str) -> anyhow::Result<Vec<Row>> {
    let db = bench.place.database("traces").await?;
    let events = bench.events() / 2;
    week::fill(&db, events).await?;
    host::install(&db, &bench.guests, guest::ASYNC, 1).await?;
    let mut table = Vec::new();
    for mode in ["batch", "row"] {
        let case = format!("async, carriers batch, {events} events, transaction a {mode}");
        let measure = async |sample| {
            trace_events(&db, sample).await?;
            let way = Way { workers: 1, transactions: Some(mode) };
            recorded(url, sample, one(&db, way, "carriers batch", events)).await
        };
        let mut rows = in_turns(bench.rounds(), &WAYS, &case, "events/s", measure).await?;
        beside_off(&mut rows);
        table.append(&mut rows);
    }
    db.remove().await?;
    Ok(table)
}

fn beside_off(rows: &mut [Row]) {
    for (way, sample) in WAYS {
        if sample.is_some() {
            compare(rows, way, "off", None);
        }
    }
}

/// Does something while this part of traces is recorded.
async fn recorded(
    url: &str,
    sample: Option<f64>,
    work: impl Future<Output = anyhow::Result<f64>>,
) -> anyhow::Result<f64> {
    let Some(sample) = sample else { return work.await };
    let otlp = Some(url.to_owned());
    let telemetry = telemetry::start(&TelemetryConfig { otlp, sample, ..Default::default() })?;
    let figure = work.await;
    telemetry.finish().await;
    figure
}

/// Gives this part of all events a trace each, as their appends would have.
async fn trace_events(db: &Database, sample: Option<f64>) -> anyhow::Result<()> {
    let every = sample.map_or(0, |sample| (1.0 / sample) as i64);
    db.execute(&format!(
        "TRUNCATE eventfabric.event_traces;
         INSERT INTO eventfabric.event_traces (global_position, traceparent)
         SELECT global_position, '00-' || md5(global_position::text) || '-00f067aa0ba902b7-01'
         FROM eventfabric.events WHERE {every} > 0 AND global_position % nullif({every}, 0) = 0;
         ANALYZE eventfabric.event_traces"
    ))
    .await
}

/// Takes whatever comes, and says that it is well.
async fn take(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap_or(0);
            }
        }
        stream.read_exact(&mut vec![0; length]).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    }
}
