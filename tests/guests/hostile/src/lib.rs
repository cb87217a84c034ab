//! A guest whose events say what it does, so that tests can see what the host makes of it.
//!
//! The payload's `do` names the deed (see [`Deed`]); `sql`, `params`, `n` and `note` are its details.
//! Whatever ends well is written to `seen (position, note)`. It stands on the raw contract, since
//! the SDK would keep it from some of these (going on after an SQL error, for one).

mod deeds;

use eventfabric_sdk::{
    Call, Failure, FailureKind, Mode, RawDescription, RawEvent, RawTx, SqlError, SqlErrorKind,
    TopicFilter, Value, config,
};
use serde_json::Value as Json;

pub use deeds::Deed;

/// What the guest says of itself.
pub fn describe(name: &str, mode: Mode) -> RawDescription {
    RawDescription {
        name: name.into(),
        text: "Does what its events say, good or bad".into(),
        mode,
        topics: TopicFilter::All,
        event_types: Vec::new(),
        migrations: vec![eventfabric_sdk::Migration {
            number: 1,
            name: "create seen".into(),
            sql: "CREATE TABLE seen (position bigint PRIMARY KEY, note text)".into(),
        }],
    }
}

/// Handles a batch, event by event.
///
/// # Errors
/// Whatever the events ask for.
pub fn handle(tx: &RawTx, events: &[RawEvent]) -> Result<(), Failure> {
    for (index, event) in (0..).zip(events) {
        one(tx, event, events.len()).map_err(|(kind, message)| Failure {
            index: Some(index),
            kind,
            message,
        })?;
    }
    Ok(())
}

type Outcome<T = ()> = Result<T, (FailureKind, String)>;

fn one(tx: &RawTx, event: &RawEvent, batch: usize) -> Outcome {
    let payload: Json = serde_json::from_str(&event.payload)
        .map_err(|error| (FailureKind::Poison, error.to_string()))?;
    let asked = payload["do"].as_str().unwrap_or("ok");
    let asked = match asked {
        "config" => config::get("do").unwrap_or_else(|| "ok".into()),
        asked => asked.to_owned(),
    };
    // What no plugin should let show: how many events came with this one.
    if asked == "batch" {
        return insert(tx, event.position, &batch.to_string());
    }
    let deed = Deed::named(&asked)
        .ok_or_else(|| (FailureKind::Fatal, format!("no deed is called `{asked}`")))?;
    let note = deed.run(tx, &payload)?;
    let note = payload["note"].as_str().map_or(note, |given| given.to_owned());
    insert(tx, event.position, &note)
}

fn insert(tx: &RawTx, position: u64, note: &str) -> Outcome {
    let call = Call {
        statement: 0,
        params: vec![Value::Int64(position as i64), Value::Text(note.to_owned())],
    };
    let statement = "INSERT INTO seen (position, note) VALUES ($1, $2)".to_owned();
    match tx.execute_batch(&[statement], &[call]) {
        Ok(_) => Ok(()),
        Err(failed) => Err(blame(failed.error)),
    }
}

/// The failure that an SQL error asks for.
fn blame(error: SqlError) -> (FailureKind, String) {
    let kind = match error.kind {
        SqlErrorKind::Retryable | SqlErrorKind::Connection => FailureKind::Retry,
        SqlErrorKind::Constraint => FailureKind::Poison,
        _ => FailureKind::Fatal,
    };
    (kind, format!("{:?} {}: {}", error.kind, error.sqlstate, error.message))
}

/// Exports the guest as a component under a name and in a mode.
#[macro_export]
macro_rules! component {
    ($name:literal, $mode:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use eventfabric_sdk::{Failure, Mode, RawDescription, RawEvent, RawTx, bindings};

            struct Component;

            impl bindings::Guest for Component {
                fn describe() -> RawDescription {
                    $crate::describe($name, Mode::$mode)
                }

                fn handle(tx: &RawTx, events: Vec<RawEvent>) -> Result<(), Failure> {
                    $crate::handle(tx, &events)
                }
            }

    bindings::export!(Component with_types_in bindings);
        };
    };
}
