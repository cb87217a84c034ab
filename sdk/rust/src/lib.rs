#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
// The contract's `sql-error` tells an author a lot; it is made only where a statement has failed.
#![allow(clippy::result_large_err)]

pub mod bindings;
pub mod config;
mod error;
mod event;
pub mod log;
mod migration;
mod projection;
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
pub use error::{Error, Result};
pub use event::Event;
pub use eventfabric_sdk_macros::FromRow;
pub use migration::Migration;
#[doc(hidden)]
pub use migration::{migration_file, migration_number};
#[doc(hidden)]
pub use projection::export;
pub use projection::{Description, Mode, Projection, handle};
pub use row::{FromRow, FromValue, Row};
pub use table::Table;
pub use time::{Date, TimeError, Timestamptz};
pub use tx::{Backend, Tx};
pub use upcast::{Payload, Upcasters};
pub use value::{ArrayItem, Json, Numeric, Other, ToValue, Uuid, Value};

/// What most projections need: `use eventfabric_sdk::prelude::*;`
pub mod prelude {
    pub use crate::{
        Date, Description, Error, Event, FailureKind, FromRow, Json, Mode, Numeric, Projection,
        Result, Table, Timestamptz, Tx, Upcasters, Uuid, Value, config, export_projection, log,
        migrations, params,
    };
    pub use serde::Deserialize;
}
