//! The same for a version of the contract that nobody has released.

#![allow(missing_docs, unsafe_code)]

#[path = "../../contract/src/kinds.rs"]
mod kinds;

wit_bindgen::generate!({ path: "../../fixtures/contract-draft", world: "projection" });

use eventfabric::projection::sql::{Call, Value};
use eventfabric::projection::types::{FailureKind, Migration, Mode, TopicFilter};
use eventfabric::projection::{config, log};
use kinds::{EVENT, KINDS, TABLES, kinds, shown, text};

struct Contract;

export!(Contract);

impl Guest for Contract {
    fn describe() -> Description {
        let step = |number, name: &str, sql: &str| Migration {
            number,
            name: name.to_owned(),
            sql: sql.to_owned(),
        };
        Description {
            name: "contract_draft".to_owned(),
            text: "Uses all that the contract has.".to_owned(),
            mode: Mode::CatchUp,
            topics: TopicFilter::All,
            event_types: ["Noted", "Kinds", "Refused"].map(str::to_owned).to_vec(),
            migrations: vec![step(1, "tables", TABLES), step(2, "kinds", KINDS)],
        }
    }

    fn handle(tx: &Tx, events: Vec<Event>) -> Result<(), Failure> {
        let wrong =
            |message: String| Failure { indexes: Vec::new(), kind: FailureKind::Fatal, message };
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
                        indexes: vec![index],
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
                text(event.topic),
            ];
            tx.execute(EVENT, &params).map_err(|error| wrong(error.message))?;
        }
        tx.execute_once("UPDATE kinds SET span = span").map_err(|error| wrong(error.message))?;
        let later =
            "INSERT INTO settings VALUES ('span', ($1::interval)::text) ON CONFLICT DO NOTHING";
        let day = [Value::Interval("1 day".to_owned())];
        tx.execute(later, &day).map_err(|error| wrong(error.message))?;
        Ok(())
    }
}
