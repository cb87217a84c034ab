//! What a plugin of any version of the contract keeps: each event, and a value of each case.

use crate::eventfabric::projection::sql::Value;

pub const TABLES: &str = "
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE events (
        position bigint PRIMARY KEY, id uuid, tenant text, aggregate text, aggregate_id text,
        version int, event_type text, schema_version int, payload jsonb, occurred_at timestamptz,
        correlation_id text, causation_id text, topic text
    );
    CREATE TABLE settings (key text PRIMARY KEY, value text)";

pub const KINDS: &str = "
    CREATE TABLE kinds (
        a bool, b smallint, c int, d bigint, e real, f double precision, g numeric, h text, i bytea, j uuid,
        k timestamptz, l date, m jsonb, n bool[], o smallint[], p int[], q bigint[], r real[],
        s double precision[], t numeric[], u text[], v bytea[], w uuid[], x timestamptz[], y date[],
        z jsonb[], mood mood, span interval, nothing text
    )";

pub const EVENT: &str = "
    INSERT INTO events
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// One value of each case, in the order of the columns of `kinds`.
pub fn kinds() -> Vec<Value> {
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
pub fn shown(values: &[Value]) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::Other((_, text)) => text.clone(),
        value => format!("{value:?}"),
    };
    values.iter().map(one).collect()
}

pub fn text(value: Option<String>) -> Value {
    value.map_or(Value::Null, Value::Text)
}
