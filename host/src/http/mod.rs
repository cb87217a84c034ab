//! The HTTP API of a host: one file a resource.
//!
//! A request passes `router.rs` (limits, time-outs, problem documents for everything that axum
//! answers by itself), `auth.rs` (the token and its scope), `extract.rs` (tenant, names and body,
//! checked) and reaches a handler, which asks the store or the registry. `state.rs` is the one place
//! that knows where a tenant's events are. `problem.rs` has all errors.

mod append;
mod auth;
mod config;
mod costs;
mod dead_letters;
mod event_body;
mod expected;
mod extract;
mod find;
mod health;
mod history;
mod limits;
mod log;
mod metrics;
mod openapi;
mod overview;
mod params;
mod plugin_changes;
mod plugin_details;
mod plugin_diff;
mod plugin_logs;
mod plugin_rows;
mod plugin_versions;
mod plugins;
mod problem;
mod projection_changes;
mod projections;
mod queries;
mod reader;
mod responses;
mod router;
mod schemas;
mod server;
mod stalls;
mod state;
mod streams;
mod subscribe;
mod tenants;
mod tokens;
mod traced;
mod ui;

use axum::http::HeaderValue;

pub use config::HttpConfig;
pub use limits::HttpLimits;
pub use openapi::document;
pub use server::Server;
pub use tokens::{Scope, TokenConfig};

/// Events of a page, where the request does not say.
const PAGE: i64 = 100;

/// The tag of a stream at a version.
fn version_tag(version: i32) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{version}\"")).ok()
}
