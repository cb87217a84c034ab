#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
// The contract's `sql-error` tells an author a lot; it is made only where a statement has failed.
#![allow(clippy::result_large_err)]

// The derive macros name the crate from outside.
extern crate self as eventfabric_sdk;

pub mod bindings;
pub mod config;
mod error;
mod event;
mod event_store;
pub mod http;
pub mod log;
mod migration;
mod projection;
mod query;
mod row;
mod table;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod time;
mod tx;
mod upcast;
mod value;

pub use bindings::eventfabric::projection::{
    sql::{BatchError, Call, RowSet, SqlError, SqlErrorKind, Tx as RawTx},
    types::{Description as RawDescription, Event as RawEvent, Failure, FailureKind, TopicFilter},
};
pub use bindings::query::exports::eventfabric::query::queries::{ParameterType, Request};
pub use error::{Error, Result};
pub use event::Event;
pub use event_store::{AppendError, EventStore, ExpectedVersion, NewEvent, Page, Stream, Streams};
pub use eventfabric_sdk_macros::{FromRow, Params};
pub use migration::Migration;
#[doc(hidden)]
pub use migration::{migration_file, migration_number};
#[doc(hidden)]
pub use projection::export;
pub use projection::{Description, Mode, Projection, handle};
#[doc(hidden)]
pub use query::describe_queries;
pub use query::{Given, Param, ParamInfo, Params, Queries, Query, query};
pub use row::{FromRow, FromValue, Row};
pub use table::Table;
pub use time::{Date, TimeError, Timestamptz};
pub use tx::{Backend, Tx};
pub use upcast::{Payload, Upcasters};
pub use value::{ArrayItem, Json, Numeric, Other, ToValue, Uuid, Value};

/// What most projections need: `use eventfabric_sdk::prelude::*;`
pub mod prelude {
    pub use crate::{
        AppendError, Date, Description, Error, Event, EventStore, ExpectedVersion, FailureKind,
        FromRow, Json, Mode, NewEvent, Numeric, Params, Projection, Queries, Query, Result, RowSet,
        Table, Timestamptz, Tx, Upcasters, Uuid, Value, config, export_projection, http, log,
        migrations, params,
    };
    pub use serde::Deserialize;
}
