//! The integration tests: one binary, each test with a database of its own.

mod authors;
mod cli;
mod contract;
mod docs;
mod embedded;
mod grants;
mod health;
mod http;
mod interop;
mod memberships;
mod migrate;
mod migrating;
mod operator;
mod partitions;
mod reactors;
mod rebuild;
mod roles;
mod runners;
mod safe_head;
mod sandbox;
mod seal;
mod session;
mod store;
mod strict;
mod tenants;
mod tidy;
