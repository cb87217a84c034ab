//! Doubles for native tests: a projection runs without a host.
//!
//! [`RecordingTx`] records what a projection writes and answers its queries from a script;
//! `PgTx` (feature `testing-postgres`) runs it against a real PostgreSQL, in a transaction that is
//! rolled back. Both go through [`handle`](crate::handle), as the exported component does.
//!
//! ```
//! use eventfabric_sdk::{prelude::*, testing::{self, RecordingTx}};
//!
//! struct Seen;
//!
//! impl Projection for Seen {
//!     type Event = serde::de::IgnoredAny;
//!
//!     fn describe() -> Description {
//!         Description::new("seen")
//!     }
//!
//!     fn handle(tx: &Tx, event: &Event<Self::Event>) -> Result<()> {
//!         tx.run("INSERT INTO seen VALUES ($1)", params![event.position])
//!     }
//! }
//!
//! let db = RecordingTx::new();
//! testing::run::<Seen>(&db, [testing::event("Opened", "{}"), testing::event("Closed", "{}")])?;
//! assert_eq!(db.calls_of("INSERT INTO seen"), [params![1_i64], params![2_i64]]);
//! # Ok::<(), eventfabric_sdk::Failure>(())
//! ```

#[cfg(feature = "testing-postgres")]
mod postgres;
#[cfg(feature = "testing-postgres")]
mod postgres_value;
mod recording;
mod server;

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Map, Value as JsonValue};

use crate::{
    Backend, Failure, Projection, Queries, RawEvent, Request, RowSet, SqlError, SqlErrorKind,
    Timestamptz, Value,
};

#[cfg(feature = "testing-postgres")]
pub use self::postgres::PgTx;
pub use recording::{Appended, RecordingTx};
pub(crate) use server::send;
pub use server::{Sent, Server};

/// An event of the stream `Test/1` with a payload from JSON text; `type` and `version` are added
/// to it where they are missing. Other fields can be set on the result.
///
/// # Panics
/// Where the text is no JSON object.
pub fn event(event_type: &str, payload: &str) -> RawEvent {
    let payload = serde_json::from_str(payload).expect("the payload is a JSON object");
    event_of(event_type, 1, payload)
}

fn event_of(event_type: &str, version: u32, mut payload: Map<String, JsonValue>) -> RawEvent {
    payload.entry("type").or_insert_with(|| event_type.into());
    payload.entry("version").or_insert_with(|| version.into());
    RawEvent {
        position: 1,
        id: "00000000-0000-7000-8000-000000000001".into(),
        tenant: "default".into(),
        aggregate: "Test".into(),
        aggregate_id: "1".into(),
        version: 1,
        event_type: event_type.into(),
        schema_version: version,
        payload: JsonValue::Object(payload).to_string(),
        occurred_at: 0,
        correlation_id: None,
        causation_id: None,
    }
}

/// Events from lines of JSON as `eventfabric import` reads them: `aggregate`, `id`, `type`,
/// `version`, `occurred_at`, `payload`.
///
/// # Panics
/// Naming the line that can't be read.
pub fn events_from_ndjson(text: &str) -> Vec<RawEvent> {
    #[derive(serde::Deserialize)]
    struct Line {
        aggregate: String,
        id: String,
        r#type: String,
        version: u32,
        occurred_at: Timestamptz,
        payload: Map<String, JsonValue>,
    }
    let mut events: Vec<RawEvent> = Vec::new();
    let mut versions = BTreeMap::<(String, String), u32>::new();
    for (number, line) in (1_u64..).zip(text.lines()) {
        let line: Line =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("line {number}: {error}"));
        let version = versions.entry((line.aggregate.clone(), line.id.clone())).or_default();
        *version += 1;
        events.push(RawEvent {
            position: number,
            id: format!("00000000-0000-7000-8000-{number:012x}"),
            aggregate: line.aggregate,
            aggregate_id: line.id,
            version: *version,
            occurred_at: line.occurred_at.0,
            ..event_of(&line.r#type, line.version, line.payload)
        });
    }
    events
}

/// Hands a batch to a projection, as the host does. Events without a place of their own in the log
/// (position 1, as from [`event`]) are numbered from 1.
///
/// # Errors
/// What the host would get.
pub fn run<P: Projection>(
    backend: &dyn Backend,
    events: impl IntoIterator<Item = RawEvent>,
) -> Result<(), Failure> {
    let mut events: Vec<_> = events.into_iter().collect();
    if events.iter().all(|event| event.position == 1) {
        for (position, event) in (1..).zip(&mut events) {
            event.position = position;
        }
    }
    crate::handle::<P>(backend, events)
}

/// Asks a plugin a query for the tenant `default`, as the host does.
///
/// # Errors
/// What the host would get.
pub fn query<P: Queries>(
    backend: &dyn Backend,
    name: &str,
    parameters: impl IntoIterator<Item = (&'static str, Value)>,
) -> Result<RowSet, Failure> {
    let parameters = parameters.into_iter().map(|(name, value)| (name.into(), value)).collect();
    let request = Request { name: name.into(), tenant: "default".into(), parameters };
    crate::query::<P>(backend, request)
}

/// An SQL error for [`RecordingTx::fail`].
pub fn sql_error(kind: SqlErrorKind, sqlstate: &str, message: &str) -> SqlError {
    SqlError {
        kind,
        sqlstate: sqlstate.into(),
        message: message.into(),
        detail: None,
        hint: None,
        constraint: None,
        table: None,
        column: None,
        position: None,
    }
}

/// Rows for [`RecordingTx::answer`].
pub fn rows<const N: usize>(
    columns: [&str; N],
    rows: impl IntoIterator<Item = Vec<Value>>,
) -> RowSet {
    RowSet { columns: columns.map(str::to_owned).to_vec(), rows: rows.into_iter().collect() }
}

thread_local! {
    static CONFIG: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Sets what [`config::get`](crate::config::get) returns on this thread.
pub fn set_config(key: &str, value: &str) {
    CONFIG.with_borrow_mut(|config| config.insert(key.into(), value.into()));
}

pub(crate) fn config(key: &str) -> Option<String> {
    CONFIG.with_borrow(|config| config.get(key).cloned())
}

pub(crate) fn all_config() -> Vec<(String, String)> {
    CONFIG.with_borrow(|config| config.clone().into_iter().collect())
}
