//! What `tests/fixtures/contract-0.1.0.wasm` was built from: a plugin that uses all of the contract.

#![allow(missing_docs, unsafe_code)]

wit_bindgen::generate!({ path: "../../../wit/released/0.1.0", world: "projection" });

use eventfabric::projection::sql::{Call, Value};
use eventfabric::projection::types::{FailureKind, Migration, Mode, TopicFilter};
use eventfabric::projection::{config, log};

struct Contract;

export!(Contract);

const TABLES: &str = "
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE events (
        position bigint PRIMARY KEY, id uuid, tenant text, aggregate text, aggregate_id text,
        version int, event_type text, schema_version int, payload jsonb, occurred_at timestamptz,
        correlation_id text, causation_id text, topic text
    );
    CREATE TABLE settings (key text PRIMARY KEY, value text)";

const KINDS: &str = "
    CREATE TABLE kinds (
        a bool, b smallint, c int, d bigint, e real, f double precision, g numeric, h text, i bytea, j uuid,
        k timestamptz, l date, m jsonb, n bool[], o smallint[], p int[], q bigint[], r real[],
        s double precision[], t numeric[], u text[], v bytea[], w uuid[], x timestamptz[], y date[],
        z jsonb[], mood mood, span interval, nothing text
    )";

const EVENT: &str = "
    INSERT INTO events
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// One value of each case, in the order of the columns of `kinds`.
fn kinds() -> Vec<Value> {
    let uuid = "00000000-0000-0000-0000-000000000001".to_owned();
    vec![
        Value::Boolean(true),
        Value::Int16(i16::MIN),
        Value::Int32(i32::MIN),
        Value::Int64(i64::MIN),
        Value::Float32(1.5),
        Value::Float64(f64::MAX),
        Value::Numeric("12345678901234567890.5".to_owned()),
        Value::Text("t\u{1f4a5}".to_owned()),
        Value::Bytes(vec![0, 255]),
        Value::Uuid(uuid.clone()),
        Value::Timestamptz(-1),
        Value::Date(-1),
        Value::Json("{\"a\": [1]}".to_owned()),
        Value::BoolArray(vec![Some(true), None]),
        Value::Int16Array(vec![Some(1), None]),
        Value::Int32Array(vec![Some(2), None]),
        Value::Int64Array(vec![Some(i64::MAX), None]),
        Value::Float32Array(vec![Some(0.5), None]),
        Value::Float64Array(vec![Some(0.25), None]),
        Value::NumericArray(vec![Some("0.1".to_owned()), None]),
        Value::TextArray(vec![Some("x".to_owned()), None]),
        Value::BytesArray(vec![Some(vec![1]), None]),
        Value::UuidArray(vec![Some(uuid), None]),
        Value::TimestamptzArray(vec![Some(1), None]),
        Value::DateArray(vec![Some(1), None]),
        Value::JsonArray(vec![Some("null".to_owned()), None]),
        Value::Other(("mood".to_owned(), "bad".to_owned())),
        Value::Other(("interval".to_owned(), "1 day".to_owned())),
        Value::Null,
    ]
}

/// The values, but for the names of types, which follow the schema.
fn shown(values: &[Value]) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::Other((_, text)) => text.clone(),
        value => format!("{value:?}"),
    };
    values.iter().map(one).collect()
}

fn text(value: Option<String>) -> Value {
    value.map_or(Value::Null, Value::Text)
}

impl Guest for Contract {
    fn describe() -> Description {
        let step = |number, name: &str, sql: &str| Migration {
            number,
            name: name.to_owned(),
            sql: sql.to_owned(),
        };
        Description {
            name: "contract".to_owned(),
            text: "Uses all that the contract has.".to_owned(),
            mode: Mode::CatchUp,
            topics: TopicFilter::All,
            event_types: ["Noted", "Kinds", "Refused"].map(str::to_owned).to_vec(),
            migrations: vec![step(1, "tables", TABLES), step(2, "kinds", KINDS)],
        }
    }

    fn handle(tx: &Tx, events: Vec<Event>) -> Result<(), Failure> {
        let wrong = |message: String| Failure { index: None, kind: FailureKind::Fatal, message };
        log::write(log::Level::Info, "a batch");
        for (key, value) in config::all() {
            if config::get(&key).as_ref() != Some(&value) {
                return Err(wrong(format!("two answers for {key}")));
            }
            let upsert = "INSERT INTO settings VALUES ($1, $2)
                          ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            let params = [Value::Text(key), Value::Text(value)];
            tx.execute(upsert, &params).map_err(|error| wrong(error.message))?;
        }
        for (index, event) in (0..).zip(events) {
            match event.event_type.as_str() {
                "Refused" => {
                    return Err(Failure {
                        index: Some(index),
                        kind: FailureKind::Poison,
                        message: "refused".to_owned(),
                    });
                }
                "Kinds" => {
                    let places: Vec<String> = (1..=29).map(|n| format!("${n}")).collect();
                    let insert = format!("INSERT INTO kinds VALUES ({})", places.join(", "));
                    let calls = [Call { statement: 0, params: kinds() }];
                    let counts = tx.execute_batch(&[insert], &calls);
                    let counts = counts.map_err(|error| wrong(error.error.message))?;
                    let read =
                        tx.query("SELECT * FROM kinds", &[]).map_err(|e| wrong(e.message))?;
                    let same = read.rows.iter().map(|row| shown(row)).eq([shown(&kinds())]);
                    if counts != [1] || read.columns.len() != 29 || !same {
                        return Err(wrong(format!("{read:?}")));
                    }
                }
                _ => {}
            }
            let params = [
                Value::Int64(event.position as i64),
                Value::Uuid(event.id),
                Value::Text(event.tenant),
                Value::Text(event.aggregate),
                Value::Text(event.aggregate_id),
                Value::Int32(event.version as i32),
                Value::Text(event.event_type),
                Value::Int32(event.schema_version as i32),
                Value::Json(event.payload),
                Value::Timestamptz(event.occurred_at),
                text(event.correlation_id),
                text(event.causation_id),
                Value::Null,
            ];
            tx.execute(EVENT, &params).map_err(|error| wrong(error.message))?;
        }
        Ok(())
    }
}
