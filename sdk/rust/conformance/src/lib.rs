//! The plugin of the conformance suite: see `sdk/conformance/README.md`.

mod written;

use eventfabric_sdk::{columns, prelude::*};
use serde::de::IgnoredAny;

const COUNTERS: Table = Table::new("counters", &["area", "key"]);
const LABELS: Table = Table::new("labels", &["key"]);

const NUMBER: &str = "INSERT INTO numbers (position, n) VALUES ($1, $2)";
const NOTE: &str = "INSERT INTO notes (position, text) VALUES ($1, $2)";
const EVENT: &str = "
    INSERT INTO events (position, id, tenant, aggregate, aggregate_id, version, event_type, schema_version,
                        payload, occurred_at, correlation_id, causation_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// What the suite has happen.
#[derive(Deserialize)]
#[serde(tag = "type")]
#[expect(missing_docs, reason = "they are described in the suite")]
pub enum Case {
    Written(written::Written),
    Counted { n: i64 },
    Priced { cents: i64 },
    Noted(IgnoredAny),
    Incremented { area: String, key: String, by: i64 },
    Labelled { key: String, label: Option<String> },
    Removed { area: String, key: String },
    Emptied { area: String },
    Summed(IgnoredAny),
    Repeated { text: String, times: usize },
    Listed { upto: i64 },
    Logged { level: String, text: String },
    Configured { key: String },
    Failed { how: String },
}

/// The projection.
pub struct Conformance;

impl Projection for Conformance {
    type Event = Case;

    fn describe() -> Description {
        Description::new("conformance")
            .text("What every SDK can do")
            .mode(Mode::CatchUp)
            .events([
                "Written",
                "Counted",
                "Priced",
                "Noted",
                "Incremented",
                "Labelled",
                "Removed",
                "Emptied",
                "Summed",
                "Repeated",
                "Listed",
                "Logged",
                "Configured",
                "Failed",
            ])
            .migrations(migrations![
                "../../conformance/migrations/001_create_tables.sql",
                "../../conformance/migrations/002_create_read_models.sql"
            ])
    }

    fn upcasters() -> Upcasters {
        Upcasters::new().step("Priced", 1, |payload| {
            let euros = payload.remove("euros").and_then(|euros| euros.as_i64());
            let euros = euros.ok_or_else(|| Error::poison("no euros"))?;
            payload.insert("cents".to_owned(), (euros * 100).into());
            Ok(())
        })
    }

    fn handle(tx: &Tx, event: &Event<Case>) -> Result<()> {
        let position = event.position;
        let number = |n: i64| tx.run(NUMBER, params![position, n]);
        match &event.data {
            Case::Written(row) => row.write(tx),
            Case::Counted { n } => number(*n),
            Case::Priced { cents } => tx.run(
                "INSERT INTO prices (position, cents) VALUES ($1, $2)",
                params![position, cents],
            ),
            Case::Noted(_) => note(tx, event),
            Case::Incremented { area, key, by } => {
                COUNTERS.increment(tx, params![area, key], [("n", *by)])?;
                COUNTERS.upsert(tx, params![area, key], columns! { last: position })
            }
            Case::Labelled { key, label } => {
                LABELS.upsert(tx, params![key], columns! { label: label })
            }
            Case::Removed { area, key } => {
                COUNTERS.delete(tx, params![area, key])?;
                LABELS.delete(tx, params![key])
            }
            Case::Emptied { area } => tx.run("DELETE FROM counters WHERE area = $1", params![area]),
            Case::Summed(_) => {
                number(tx.scalar("SELECT coalesce(sum(n), 0)::bigint FROM counters", params![])?)
            }
            Case::Repeated { text, times } => {
                tx.run(NOTE, params![position, text.repeat(*times)])?;
                let text: String =
                    tx.scalar("SELECT text FROM notes WHERE position = $1", params![position])?;
                number(text.chars().count() as i64)
            }
            Case::Listed { upto } => {
                let rows: Vec<(i64, String)> = tx.query(
                    "SELECT g, g::text AS t FROM generate_series(1::bigint, $1) AS g",
                    params![upto],
                )?;
                let mut sum = 0;
                for (g, t) in rows {
                    sum += g + t.parse::<i64>()?;
                }
                number(sum)
            }
            Case::Logged { level, text } => {
                let level = match level.as_str() {
                    "trace" => log::Level::Trace,
                    "debug" => log::Level::Debug,
                    "info" => log::Level::Info,
                    "warn" => log::Level::Warn,
                    _ => log::Level::Error,
                };
                log::write(level, text);
                Ok(())
            }
            Case::Configured { key } => {
                let value = config::get(key);
                tx.run(NOTE, params![position, value.as_deref().unwrap_or("not set")])
            }
            Case::Failed { how } => fail(tx, event, how),
        }
    }
}

export_projection!(Conformance);

fn note(tx: &Tx, event: &Event<Case>) -> Result<()> {
    tx.run(
        EVENT,
        params![
            event.position,
            Uuid(event.id.clone()),
            event.tenant,
            event.aggregate,
            event.aggregate_id,
            event.version,
            event.event_type,
            event.schema_version,
            Json(event.payload.clone()),
            event.occurred_at(),
            event.correlation_id,
            event.causation_id
        ],
    )
}

fn fail(tx: &Tx, event: &Event<Case>, how: &str) -> Result<()> {
    let position = event.position;
    match how {
        "poison" => Err(Error::poison("by hand")),
        "retry" => Err(Error::retry("by hand")),
        "fatal" => Err(Error::fatal("by hand")),
        "exception" => panic!("unforeseen"),
        "missing_table" => tx.run("INSERT INTO nowhere (n) VALUES ($1)", params![1]),
        "wrong_count" => tx.execute(NOTE, params![position]).map(drop),
        "wrong_type" => tx.run(NUMBER, params![position, "many"]),
        "null" => tx.run(NOTE, params![position, None::<String>]),
        "unique" => {
            tx.run(NOTE, params![position, "once"])?;
            tx.run(NOTE, params![position, "twice"])
        }
        "swallowed" => {
            tx.execute(NOTE, params![position, "once"])?;
            let _ = tx.execute(NOTE, params![position, "twice"]);
            Ok(())
        }
        "no_row" => {
            tx.query_one::<(i64,)>("SELECT n FROM numbers WHERE position = -1", params![]).map(drop)
        }
        "misfit" => tx.scalar::<i64>("SELECT 'x'::text AS t", params![]).map(drop),
        "null_read" => tx.scalar::<i64>("SELECT NULL::bigint AS n", params![]).map(drop),
        "denied" => tx.scalar::<Timestamptz>("SELECT now()", params![]).map(drop),
        "loop" => loop {
            std::hint::black_box(how);
        },
        "allocate" => {
            let mut all = Vec::new();
            loop {
                all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        _ => Err(event.poison(format_args!("nobody knows how to fail by `{how}`"))),
    }
}
