//! Values go to the server and come back as they went, alone and in a batch.

use std::time::Duration;

use eventfabric::db::{self, Tx};
use eventfabric::sandbox::{Call, Value};
use rand::Rng;
use rand::rngs::StdRng;

use crate::Round;
use crate::mutate::one;
use crate::statements::Place;

const VALUES: usize = 300;

/// Microseconds from 1970 to the first and last moment that PostgreSQL has (4714 BC, 294276 AD).
const TIMES: std::ops::Range<i64> = -210_866_803_200_000_000..9_223_371_331_200_000_000;
/// The same in days.
const DAYS: std::ops::Range<i32> = -2_440_588..2_145_042_541;

/// Sends values of all types.
pub async fn round(rng: &mut StdRng) -> anyhow::Result<Round> {
    let place = Place::new().await?;
    let mut round = Round::default();
    let sql = place.sandbox.plugin("ledger").await?;
    let pool = db::pool(place.db.options(), 1);
    for _ in 0..VALUES {
        let (of, value) = value(rng);
        let mut tx = Tx::begin(&pool, Duration::from_secs(10)).await?;
        let text = format!("SELECT $1::{of} AS v");
        match sql.query(&mut tx, &text, vec![value.clone()]).await {
            Ok(rows) if same(&rows.rows[0][0], &value) => round.count("came back"),
            Ok(rows) => round.found(format!("{of}: {value:?} came back as {:?}", rows.rows[0][0])),
            Err(error) => round.found(format!("{of}: {value:?}: {error}")),
        }
        if !tx.is_doomed() && !of.starts_with("json") {
            // A batch takes its parameters another way.
            let equal = format!("SELECT 1 WHERE $1::{of} IS NOT DISTINCT FROM $2::{of}");
            let calls = vec![Call { statement: 0, params: vec![value.clone(), value.clone()] }; 2];
            match sql.execute_batch(&mut tx, &[equal], calls).await {
                Ok(counts) if counts == [1, 1] => round.count("was the same in a batch"),
                other => round.found(format!("{of}: {value:?} in a batch: {other:?}")),
            }
        }
        tx.rollback().await?;
    }
    db::close(&pool).await;
    place.end().await?;
    Ok(round)
}

/// As they are written; a NaN is one.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float32(a), Value::Float32(b)) => {
            a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
        }
        (Value::Float64(a), Value::Float64(b)) => {
            a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
        }
        (Value::Float64Array(a), Value::Float64Array(b)) => format!("{a:?}") == format!("{b:?}"),
        (a, b) => a == b,
    }
}

fn value(rng: &mut StdRng) -> (&'static str, Value) {
    if rng.random_ratio(1, 40) {
        return (one(rng, &["bigint", "text", "numeric[]", "jsonb", "uuid"]), Value::Null);
    }
    match rng.random_range(0..20) {
        0 => ("boolean", Value::Bool(rng.random())),
        1 => ("smallint", Value::Int16(rng.random())),
        2 => ("integer", Value::Int32(rng.random())),
        3 => ("bigint", Value::Int64(int(rng))),
        4 => ("real", Value::Float32(f32::from_bits(rng.random()))),
        5 => ("double precision", Value::Float64(float(rng))),
        6 => ("numeric", Value::Numeric(numeric(rng))),
        7 => ("text", Value::Text(text(rng))),
        8 => ("bytea", Value::Bytes(bytes(rng))),
        9 => ("uuid", Value::Uuid(uuid(rng))),
        10 => ("timestamptz", Value::Timestamptz(time(rng))),
        11 => ("date", Value::Date(rng.random_range(DAYS))),
        12 => ("json", Value::Json(serde_json::Value::from(text(rng)).to_string())),
        13 => ("bigint[]", Value::Int64Array(several(rng, int))),
        14 => ("double precision[]", Value::Float64Array(several(rng, float))),
        15 => ("numeric[]", Value::NumericArray(several(rng, numeric))),
        16 => ("text[]", Value::TextArray(several(rng, text))),
        17 => ("bytea[]", Value::BytesArray(several(rng, bytes))),
        18 => ("uuid[]", Value::UuidArray(several(rng, uuid))),
        _ => ("timestamptz[]", Value::TimestamptzArray(several(rng, time))),
    }
}

fn several<T>(rng: &mut StdRng, of: fn(&mut StdRng) -> T) -> Vec<Option<T>> {
    let count = rng.random_range(0..6);
    (0..count).map(|_| (!rng.random_ratio(1, 5)).then(|| of(rng))).collect()
}

fn int(rng: &mut StdRng) -> i64 {
    match rng.random_range(0..4) {
        0 => [i64::MIN, i64::MAX, 0, -1, (1 << 53) + 1][rng.random_range(0..5)],
        1 => rng.random_range(-10..10),
        _ => rng.random(),
    }
}

fn float(rng: &mut StdRng) -> f64 {
    match rng.random_range(0..4) {
        0 => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE]
            [rng.random_range(0..5)],
        _ => f64::from_bits(rng.random()),
    }
}

/// As PostgreSQL writes it: no sign of zero, no zeros in front.
fn numeric(rng: &mut StdRng) -> String {
    if rng.random_ratio(1, 10) {
        return one(rng, &["NaN", "Infinity", "-Infinity", "0", "0.000"]).to_owned();
    }
    let digits = rng.random_range(1..100);
    let mut text: String = (0..digits).map(|_| rng.random_range(b'0'..=b'9') as char).collect();
    text.insert(0, rng.random_range(b'1'..=b'9') as char);
    if rng.random() {
        text.push('.');
        let digits = rng.random_range(1..40);
        text.extend((0..digits).map(|_| rng.random_range(b'0'..=b'9') as char));
    }
    if rng.random() { format!("-{text}") } else { text }
}

fn text(rng: &mut StdRng) -> String {
    let length = if rng.random_ratio(1, 20) { 5_000 } else { rng.random_range(0..30) };
    (0..length)
        .map(|_| match rng.random_range(0..3) {
            0 => rng.random_range('\u{1}'..='\u{7f}'),
            1 => ['\\', '"', '{', '}', ',', '\'', '\n', '\u{0}'][rng.random_range(0..7)],
            _ => rng.random_range('\u{80}'..=char::MAX),
        })
        .collect()
}

fn bytes(rng: &mut StdRng) -> Vec<u8> {
    let length = rng.random_range(0..40);
    (0..length).map(|_| rng.random()).collect()
}

fn uuid(rng: &mut StdRng) -> String {
    let n: u128 = rng.random();
    let hex = format!("{n:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn time(rng: &mut StdRng) -> i64 {
    rng.random_range(TIMES)
}
