//! What the integration tests stand on: a real PostgreSQL server, and on it a database for each
//! test, in milliseconds. The server is the tests' own; `EVENTFABRIC_TEST_SERVER` may name another
//! by the URL of a superuser, and then it has a role `eventfabric` with that user's password. The tests themselves are in `tests/it`, one binary for all.

#![forbid(unsafe_code)]

mod built;
mod database;
mod description;

pub use built::{eventfabric_bin, nats_server, wasm};
pub use database::{TestDb, bare_database, database};
pub use description::description;
pub use eventfabric_testdb::{target_dir, workspace};
