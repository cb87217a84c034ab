//! A guest that answers queries, good and bad ones.

use eventfabric_sdk::prelude::*;

/// The projection: a row for each event, inline, so that it is there when the append is answered.
pub struct Reader;

impl Projection for Reader {
    type Event = serde::de::IgnoredAny;

    fn describe() -> Description {
        Description::new("reader").mode(Mode::Inline).events(["Counted"]).migration(
            1,
            "create seen",
            "CREATE TABLE seen (position bigint PRIMARY KEY, tenant text)",
        )
    }

    fn handle(tx: &Tx, event: &Event<Self::Event>) -> Result<()> {
        tx.run("INSERT INTO seen VALUES ($1, $2)", params![event.position, event.tenant])
    }
}

#[derive(Params)]
struct All {
    boolean: bool,
    int64: i64,
    float64: f64,
    numeric: Numeric,
    /// Any text
    text: String,
    uuid: Uuid,
    timestamptz: Timestamptz,
    date: Date,
}

#[derive(Params)]
struct Optional {
    number: Option<i32>,
}

#[derive(Params)]
struct Sql {
    sql: String,
}

fn echo(tx: &Tx, all: All) -> Result<RowSet> {
    let All { boolean, int64, float64, numeric, text, uuid, timestamptz, date } = all;
    tx.row_set(
        "SELECT $1::boolean AS boolean, $2::bigint AS int64, $3::double precision AS float64,
                $4::numeric AS numeric, $5::text AS text, $6::uuid AS uuid,
                $7::timestamptz AS timestamptz, $8::date AS date,
                '{\"n\": 12345678901234567890}'::json AS json, NULL::text AS nothing,
                ARRAY[$2, NULL] AS numbers",
        params![boolean, int64, float64, numeric, text, uuid, timestamptz, date],
    )
}

fn one(value: Value) -> RowSet {
    RowSet { columns: vec!["value".to_owned()], rows: vec![vec![value]] }
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_micros() as i64)
}

impl Queries for Reader {
    fn queries() -> Vec<Query> {
        let count = |tx: &Tx, (): ()| tx.row_set("SELECT count(*) AS count FROM seen", params![]);
        let own = |tx: &Tx, tenant: &str, (): ()| {
            let sql = "SELECT tenant, count(*) AS count FROM seen WHERE tenant = $1 GROUP BY 1";
            tx.row_set(sql, params![tenant])
        };
        let sql = |tx: &Tx, Sql { sql }: Sql| tx.row_set(&sql, params![]);
        let execute =
            |tx: &Tx, Sql { sql }: Sql| Ok(one(Value::Int64(tx.execute(&sql, params![])? as i64)));
        let queued = |tx: &Tx, Sql { sql }: Sql| {
            tx.run(&sql, params![])?;
            Ok(one(Value::Null))
        };
        // Without an end.
        let spin = |_: &Tx, (): ()| loop {
            std::hint::black_box(());
        };
        let made_up = |_: &Tx, Optional { number }: Optional| {
            let rows = (0..number.unwrap_or(3_000_000)).map(|n| vec![Value::Int32(n)]).collect();
            Ok(RowSet { columns: vec!["n".to_owned()], rows })
        };
        let optional = |_: &Tx, Optional { number }: Optional| {
            Ok(one(number.map_or(Value::Null, Value::Int32)))
        };
        vec![
            Query::new("count", count).text("How many events there were"),
            Query::per_tenant("own", own),
            Query::new("echo", echo).text("What it is given"),
            Query::new("optional", optional),
            Query::new("sql", sql),
            Query::new("execute", execute),
            Query::new("queued", queued),
            Query::new("spin", spin),
            Query::new("made_up", made_up),
            Query::new("panic", |_: &Tx, (): ()| -> Result<RowSet> { panic!("as it was told") }),
            Query::new("refuse", |_: &Tx, (): ()| Err(Error::poison("not like this"))),
            Query::new("later", |_: &Tx, (): ()| Err(Error::retry("not now"))),
            Query::new("no_json", |_: &Tx, (): ()| Ok(one(Value::Json("1} {".to_owned())))),
            Query::new("clock", |_: &Tx, (): ()| Ok(one(Value::Timestamptz(now())))),
        ]
    }
}

export_projection!(Reader, queries);
