//! The double that runs on PostgreSQL, on the server that `EVENTFABRIC_TEST_DATABASE_URL` names;
//! without one there is nothing to test.

use eventfabric_sdk::{
    Backend, Other, Row, SqlErrorKind,
    prelude::*,
    testing::{self, PgTx, event},
};

struct Notes;

impl Projection for Notes {
    type Event = serde_json::Value;

    fn describe() -> Description {
        Description::new("notes").migration(
            1,
            "create notes",
            "CREATE TYPE mood AS ENUM ('calm', 'cross');
             CREATE TABLE notes (position bigint PRIMARY KEY, note text NOT NULL)",
        )
    }

    fn handle(tx: &Tx, event: &Event<Self::Event>) -> Result<()> {
        let position = event.data["position"].as_i64().unwrap_or(0);
        tx.run("INSERT INTO notes VALUES ($1, $2)", params![position, event.data["note"].as_str()])
    }
}

#[test]
fn values_come_back_as_they_went() {
    let Some(db) = PgTx::from_env::<Notes>() else { return };
    let tx = Tx::new(&db);
    for (kind, value) in [
        ("boolean", Value::Boolean(true)),
        ("smallint", Value::Int16(-5)),
        ("integer", Value::Int32(i32::MIN)),
        ("bigint", Value::Int64(9_007_199_254_740_993)),
        ("real", Value::Float32(0.1)),
        ("double precision", Value::Float64(-1e300)),
        ("numeric", Value::Numeric("-123456789012345678901234567890.00012000".into())),
        ("numeric", Value::Numeric("0.00".into())),
        ("numeric", Value::Numeric("10000".into())),
        ("numeric", Value::Numeric("0.00001234".into())),
        ("numeric", Value::Numeric("NaN".into())),
        ("text", Value::Text("O'Hare \\ \"ORD\" é".into())),
        ("bytea", Value::Bytes(vec![0, 255, 92])),
        ("uuid", Value::Uuid("00000000-0000-7000-8000-00000000000a".into())),
        ("timestamptz", Value::Timestamptz(1_357_035_300_250_001)),
        ("timestamptz", Value::Timestamptz(-1)),
        ("date", Value::Date(-1)),
        ("json", Value::Json(r#"{"a": [1, "b"]}"#.into())),
        ("jsonb", Value::Json(r#"{"a": [1, "b"]}"#.into())),
        ("mood", Value::Other(("mood".into(), "cross".into()))),
        ("boolean[]", Value::BoolArray(vec![Some(true), None])),
        ("bigint[]", Value::Int64Array(vec![Some(i64::MAX), None, Some(i64::MIN)])),
        ("numeric[]", Value::NumericArray(vec![Some("1.50".into())])),
        ("text[]", Value::TextArray(vec![Some("NULL".into()), None, Some("a,\"b\\{}".into())])),
        ("text[]", Value::TextArray(vec![])),
        ("bytea[]", Value::BytesArray(vec![Some(vec![1, 0])])),
        ("timestamptz[]", Value::TimestamptzArray(vec![Some(0), None])),
        ("date[]", Value::DateArray(vec![Some(15_706)])),
        ("jsonb[]", Value::JsonArray(vec![Some("{}".into())])),
        ("integer", Value::Null),
    ] {
        let statement = format!("SELECT $1::{kind}");
        let back = tx.scalar::<Value>(&statement, vec![value.clone()]);
        assert_eq!(back.unwrap(), value, "{kind}");
    }
    let wide: i64 =
        tx.scalar("SELECT sum(n) FROM unnest($1::bigint[]) AS n", params![[1_i64, 2]]).unwrap();
    assert_eq!(wide, 3);
}

#[test]
fn a_constraint_in_a_batch_blames_the_event_that_broke_it() {
    let Some(db) = PgTx::from_env::<Notes>() else { return };
    let batch =
        [1, 2, 1, 3].map(|n| event("Noted", &format!(r#"{{"position": {n}, "note": "x"}}"#)));
    let failure = testing::run::<Notes>(&db, batch).unwrap_err();
    assert_eq!((failure.kind, failure.index), (FailureKind::Poison, Some(2)));
    for part in ["duplicate key", "SQLSTATE 23505", "Key (\"position\")=(1)", "INSERT INTO notes"] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    let aborted = db.execute("SELECT 1", &[]).unwrap_err();
    assert_eq!(aborted.kind, SqlErrorKind::Aborted);
}

#[test]
fn a_parameter_that_does_not_fit_is_the_plugins_fault() {
    let Some(db) = PgTx::from_env::<Notes>() else { return };
    let tx = Tx::new(&db);
    let error = tx.execute("SELECT * FROM notes WHERE position = $1", params!["1"]).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Fatal);
    assert!(error.message().contains("$1 is Value::Text(\"1\"), but int8 is expected"), "{error}");
}

#[test]
fn each_test_has_tables_of_its_own() {
    let Some(one) = PgTx::from_env::<Notes>() else { return };
    let other = PgTx::new::<Notes>();
    testing::run::<Notes>(&one, [event("Noted", r#"{"position": 1, "note": "x"}"#)]).unwrap();
    assert_eq!(one.read::<(i64, String)>("SELECT * FROM notes"), [(1, "x".into())]);
    assert!(other.read::<Row>("SELECT * FROM notes").is_empty());
    let mood: Other =
        Tx::new(&one).scalar("SELECT $1::mood", params![Other::text("calm")]).unwrap();
    assert_eq!((mood.type_name.as_str(), mood.text.as_str()), ("mood", "calm"));
}
