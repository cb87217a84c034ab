//! EventFabric: an event store on PostgreSQL whose projections are WebAssembly components.
//!
//! `ARCHITECTURE.md` in this crate's folder is the map: the way of one event by file names, and
//! what each module knows and must not know.

#![forbid(unsafe_code)]

pub mod cli;
pub mod db;
pub mod embedded;
pub mod event;
pub mod plugin;
pub mod projection;
pub mod runner;
pub mod sandbox;
pub mod settings;
pub mod store;
