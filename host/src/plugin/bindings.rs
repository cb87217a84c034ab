//! The current contract in Rust, made from `wit/`, and where its types meet the host's own.

use crate::event::Event;
use crate::{projection, sandbox};

mod generated {
    #![allow(missing_docs, dead_code, clippy::all)]
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "projection",
        imports: {
            "eventfabric:projection/sql": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        // Events cross as borrowed text: nothing is copied but into the plugin's memory.
        ownership: Borrowing { duplicate_if_necessary: true },
        with: { "eventfabric:projection/sql.tx": super::TxHandle },
        require_store_data_send: true,
    });
}

pub use generated::eventfabric::projection::{config, log, sql, types};
pub use generated::{Projection, ProjectionPre};

/// What stands behind the plugin's handle `tx`. It holds nothing: a store has one transaction, and
/// the handle is the right to use it.
pub struct TxHandle;

/// The text form of the ids of a batch, to be borrowed by [`event`].
pub fn id(event: &Event) -> [u8; 36] {
    let mut text = [0; 36];
    event.id.hyphenated().encode_lower(&mut text);
    text
}

/// An event as the plugin gets it.
pub fn event<'a>(event: &'a Event, id: &'a [u8; 36]) -> types::Event<'a> {
    types::Event {
        position: u64::try_from(event.position).unwrap_or_default(),
        id: std::str::from_utf8(id).unwrap_or_default(),
        tenant: &event.stream.tenant,
        aggregate: &event.stream.aggregate,
        aggregate_id: &event.stream.id,
        version: u32::try_from(event.version).unwrap_or_default(),
        event_type: &event.event_type,
        schema_version: u32::try_from(event.schema_version).unwrap_or_default(),
        payload: event.payload.get(),
        occurred_at: event.occurred_at.timestamp_micros(),
        correlation_id: event.correlation_id.as_deref(),
        causation_id: event.causation_id.as_deref(),
    }
}

impl From<types::Description> for projection::Description {
    fn from(description: types::Description) -> Self {
        Self {
            name: description.name,
            text: description.text,
            mode: match description.mode {
                types::Mode::Inline => projection::Mode::Inline,
                types::Mode::CatchUp => projection::Mode::CatchUp,
                types::Mode::Async => projection::Mode::Async,
            },
            topics: match description.topics {
                types::TopicFilter::All => projection::TopicFilter::All,
                types::TopicFilter::Include(topics) => projection::TopicFilter::Include(topics),
                types::TopicFilter::Exclude(topics) => projection::TopicFilter::Exclude(topics),
            },
            event_types: description.event_types,
            migrations: description
                .migrations
                .into_iter()
                .map(|step| projection::Migration {
                    number: step.number,
                    name: step.name,
                    sql: step.sql,
                })
                .collect(),
        }
    }
}

impl From<types::Failure> for projection::Failure {
    fn from(failure: types::Failure) -> Self {
        let index = failure.index.map(|index| index as usize);
        Self { index, ..Self::new(failure.kind.into(), failure.message) }
    }
}

impl From<types::FailureKind> for projection::FailureKind {
    fn from(kind: types::FailureKind) -> Self {
        match kind {
            types::FailureKind::Retry => Self::Retry,
            types::FailureKind::Poison => Self::Poison,
            types::FailureKind::Fatal => Self::Fatal,
        }
    }
}

/// Values of a version of the contract are those of the host but for the last case, and what is given
/// here.
macro_rules! values {
    ($sql:ident $(, $new:pat => $value:expr)*) => {
        $crate::plugin::bindings::values!(
            @of $sql, [$($new => $value,)*],
            [Boolean Bool] [Int16 Int16] [Int32 Int32] [Int64 Int64] [Float32 Float32]
            [Float64 Float64] [Numeric Numeric] [Text Text] [Bytes Bytes] [Uuid Uuid]
            [Timestamptz Timestamptz] [Date Date] [Json Json] [BoolArray BoolArray]
            [Int16Array Int16Array] [Int32Array Int32Array] [Int64Array Int64Array]
            [Float32Array Float32Array] [Float64Array Float64Array]
            [NumericArray NumericArray] [TextArray TextArray] [BytesArray BytesArray]
            [UuidArray UuidArray] [TimestamptzArray TimestamptzArray] [DateArray DateArray]
            [JsonArray JsonArray]
        );
    };
    (@of $sql:ident, [$($new:pat => $value:expr,)*], $([$theirs:ident $ours:ident])*) => {
        impl From<$sql::Value> for sandbox::Value {
            fn from(value: $sql::Value) -> Self {
                match value {
                    $sql::Value::Null => Self::Null,
                    $sql::Value::Other((type_name, text)) => Self::Other { type_name, text },
                    $($new => $value,)*
                    $($sql::Value::$theirs(x) => Self::$ours(x),)*
                }
            }
        }

        impl From<sandbox::Value> for $sql::Value {
            fn from(value: sandbox::Value) -> Self {
                match value {
                    sandbox::Value::Null => Self::Null,
                    sandbox::Value::Other { type_name, text } => Self::Other((type_name, text)),
                    $(sandbox::Value::$ours(x) => Self::$theirs(x),)*
                }
            }
        }
    };
}
pub(in crate::plugin) use values;

values!(sql);

/// The values of one row or of one call.
pub fn convert<A, B: From<A>>(values: Vec<A>) -> Vec<B> {
    values.into_iter().map(B::from).collect()
}

/// About how many bytes a parameter takes in the host.
pub fn size(value: &sql::Value) -> usize {
    use sql::Value;
    fn texts(list: &[Option<String>]) -> usize {
        list.iter().map(|x| x.as_ref().map_or(0, String::len) + size_of::<String>()).sum()
    }
    let inside = match value {
        Value::Null
        | Value::Boolean(_)
        | Value::Int16(_)
        | Value::Int32(_)
        | Value::Int64(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Timestamptz(_)
        | Value::Date(_) => 0,
        Value::Numeric(x) | Value::Text(x) | Value::Uuid(x) | Value::Json(x) => x.len(),
        Value::Bytes(x) => x.len(),
        Value::BoolArray(x) => size_of_val(&x[..]),
        Value::Int16Array(x) => size_of_val(&x[..]),
        Value::Int32Array(x) | Value::DateArray(x) => size_of_val(&x[..]),
        Value::Int64Array(x) | Value::TimestamptzArray(x) => size_of_val(&x[..]),
        Value::Float32Array(x) => size_of_val(&x[..]),
        Value::Float64Array(x) => size_of_val(&x[..]),
        Value::NumericArray(x)
        | Value::TextArray(x)
        | Value::UuidArray(x)
        | Value::JsonArray(x) => texts(x),
        Value::BytesArray(x) => {
            x.iter().map(|x| x.as_ref().map_or(0, Vec::len) + size_of::<Vec<u8>>()).sum()
        }
        Value::Other((type_name, text)) => type_name.len() + text.len(),
    };
    size_of::<Value>() + inside
}

impl From<sandbox::RowSet> for sql::RowSet {
    fn from(set: sandbox::RowSet) -> Self {
        Self { columns: set.columns, rows: set.rows.into_iter().map(convert).collect() }
    }
}

impl From<sql::Call> for sandbox::Call {
    fn from(call: sql::Call) -> Self {
        Self { statement: call.statement, params: convert(call.params) }
    }
}

impl From<sandbox::SqlErrorKind> for sql::SqlErrorKind {
    fn from(kind: sandbox::SqlErrorKind) -> Self {
        use sandbox::SqlErrorKind as Kind;
        match kind {
            Kind::Retryable => Self::Retryable,
            Kind::Constraint => Self::Constraint,
            Kind::Denied => Self::Denied,
            Kind::Invalid => Self::Invalid,
            Kind::Limit => Self::Limit,
            Kind::Aborted => Self::Aborted,
            Kind::Connection => Self::Connection,
        }
    }
}

impl From<sandbox::SqlError> for sql::SqlError {
    fn from(error: sandbox::SqlError) -> Self {
        Self {
            kind: error.kind.into(),
            sqlstate: error.sqlstate,
            message: error.message,
            detail: error.detail,
            hint: error.hint,
            constraint: error.constraint,
            table: error.table,
            column: error.column,
            position: error.position,
        }
    }
}
