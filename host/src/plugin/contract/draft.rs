//! An adapter for a version of the contract that nobody has released (`tests/fixtures/contract-draft`).

use wasmtime::component::Resource;

use super::super::bindings::{self, TxHandle, convert, values};
use super::super::host::State;
use crate::event::Event;
use crate::{projection, sandbox};

pub const VERSION: &str = "0.2.0-draft";

mod generated {
    #![allow(missing_docs, dead_code, clippy::all)]
    wasmtime::component::bindgen!({
        path: "../tests/fixtures/contract-draft",
        world: "projection",
        imports: {
            "eventfabric:projection/sql": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
        with: { "eventfabric:projection/sql.tx": crate::plugin::bindings::TxHandle },
        require_store_data_send: true,
    });
}

pub use generated::{Projection, ProjectionPre};

use generated::eventfabric::projection::{config, log, sql, types};

/// A record with one field more.
pub fn event<'a>(event: &'a Event, id: &'a [u8; 36]) -> types::Event<'a> {
    let bindings::types::Event {
        position,
        id,
        tenant,
        aggregate,
        aggregate_id,
        version,
        event_type,
        schema_version,
        payload,
        occurred_at,
        correlation_id,
        causation_id,
    } = bindings::event(event, id);
    types::Event {
        position,
        id,
        tenant,
        aggregate,
        aggregate_id,
        version,
        event_type,
        schema_version,
        payload,
        occurred_at,
        correlation_id,
        causation_id,
        topic: event.topic.as_deref(),
    }
}

impl From<types::Description> for projection::Description {
    fn from(description: types::Description) -> Self {
        use bindings::types as current;
        current::Description {
            name: description.name,
            text: description.text,
            mode: match description.mode {
                types::Mode::Inline => current::Mode::Inline,
                types::Mode::CatchUp => current::Mode::CatchUp,
                types::Mode::Async => current::Mode::Async,
            },
            topics: match description.topics {
                types::TopicFilter::All => current::TopicFilter::All,
                types::TopicFilter::Include(topics) => current::TopicFilter::Include(topics),
                types::TopicFilter::Exclude(topics) => current::TopicFilter::Exclude(topics),
            },
            event_types: description.event_types,
            migrations: description
                .migrations
                .into_iter()
                .map(|types::Migration { number, name, sql }| current::Migration {
                    number,
                    name,
                    sql,
                })
                .collect(),
        }
        .into()
    }
}

/// An enumeration with one case more, and a field of another type.
impl From<types::Failure> for projection::Failure {
    fn from(failure: types::Failure) -> Self {
        let kind = match failure.kind {
            types::FailureKind::Retry | types::FailureKind::Busy => projection::FailureKind::Retry,
            types::FailureKind::Poison => projection::FailureKind::Poison,
            types::FailureKind::Fatal => projection::FailureKind::Fatal,
        };
        Self {
            index: failure.indexes.first().map(|index| *index as usize),
            ..Self::new(kind, failure.message)
        }
    }
}

values!(sql, sql::Value::Interval(text) => sandbox::Value::Other { type_name: "interval".to_owned(), text });

/// Those of the current version, on their way to its functions.
fn current(values: Vec<sql::Value>) -> Vec<bindings::sql::Value> {
    convert(convert::<_, sandbox::Value>(values))
}

impl From<bindings::sql::SqlError> for sql::SqlError {
    fn from(error: bindings::sql::SqlError) -> Self {
        use bindings::sql::SqlErrorKind as Kind;
        Self {
            kind: match error.kind {
                Kind::Retryable => sql::SqlErrorKind::Retryable,
                Kind::Constraint => sql::SqlErrorKind::Constraint,
                Kind::Denied => sql::SqlErrorKind::Denied,
                Kind::Invalid => sql::SqlErrorKind::Invalid,
                Kind::Limit => sql::SqlErrorKind::Limit,
                Kind::Aborted => sql::SqlErrorKind::Aborted,
                Kind::Connection => sql::SqlErrorKind::Connection,
            },
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

impl types::Host for State {}
impl sql::Host for State {}

impl sql::HostTx for State {
    /// A function that is new, made of what there is.
    async fn execute_once(
        &mut self,
        tx: Resource<TxHandle>,
        statement: String,
    ) -> wasmtime::Result<Result<u64, sql::SqlError>> {
        sql::HostTx::execute(self, tx, statement, Vec::new()).await
    }

    async fn execute(
        &mut self,
        tx: Resource<TxHandle>,
        statement: String,
        params: Vec<sql::Value>,
    ) -> wasmtime::Result<Result<u64, sql::SqlError>> {
        let done = bindings::sql::HostTx::execute(self, tx, statement, current(params)).await?;
        Ok(done.map_err(Into::into))
    }

    async fn query(
        &mut self,
        tx: Resource<TxHandle>,
        statement: String,
        params: Vec<sql::Value>,
    ) -> wasmtime::Result<Result<sql::RowSet, sql::SqlError>> {
        let set = bindings::sql::HostTx::query(self, tx, statement, current(params)).await?;
        let row = |row| convert(convert::<bindings::sql::Value, sandbox::Value>(row));
        Ok(set.map_err(Into::into).map(|set| sql::RowSet {
            columns: set.columns,
            rows: set.rows.into_iter().map(row).collect(),
        }))
    }

    async fn execute_batch(
        &mut self,
        tx: Resource<TxHandle>,
        statements: Vec<String>,
        calls: Vec<sql::Call>,
    ) -> wasmtime::Result<Result<Vec<u64>, sql::BatchError>> {
        let calls = calls.into_iter().map(|call| bindings::sql::Call {
            statement: call.statement,
            params: current(call.params),
        });
        let calls = calls.collect();
        let done = bindings::sql::HostTx::execute_batch(self, tx, statements, calls).await?;
        Ok(done.map_err(|error| sql::BatchError { call: error.call, error: error.error.into() }))
    }

    async fn drop(&mut self, tx: Resource<TxHandle>) -> wasmtime::Result<()> {
        bindings::sql::HostTx::drop(self, tx).await
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        use bindings::log::Level;
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        bindings::log::Host::write(self, level, message)
    }
}

impl config::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        bindings::config::Host::get(self, key)
    }

    fn all(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        bindings::config::Host::all(self)
    }
}
