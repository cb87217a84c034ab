//! The integration tests: one binary, each test with a database of its own.

mod embedded;
mod migrate;
mod runners;
mod safe_head;
mod sandbox;
mod store;
