//! EventFabric: an event store on PostgreSQL whose projections are WebAssembly components.
//!
//! `ARCHITECTURE.md` in this crate's folder is the map: the way of one event by file names, and
//! what each module knows and must not know.

// One function may: compiled plugins are machine code (`plugin/compile/mod.rs`).
#![deny(unsafe_code)]

// What the derive macros write names the crate from outside.
extern crate self as eventfabric;

pub mod backoff;
#[cfg(feature = "cli")]
pub mod cli;
pub mod code;
pub mod db;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod event;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "runtime")]
pub mod plugin;
pub mod projection;
#[cfg(feature = "nats")]
pub mod relay;
#[cfg(feature = "runtime")]
pub mod runner;
#[cfg(feature = "runtime")]
pub mod sandbox;
pub mod session;
#[cfg(feature = "cli")]
pub mod settings;
pub mod store;
#[cfg(feature = "telemetry")]
pub mod telemetry;
pub mod tenancy;
pub mod trace;
pub mod upcast;
