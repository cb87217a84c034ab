//! `--embedded`: a private PostgreSQL server in a directory.
//!
//! It lives in a crate of its own, so that the server against which this crate's statements are
//! checked at compile time can be started before this crate compiles.

pub use eventfabric_embedded::{Embedded, EmbeddedError, reachable, start, start_with, stop};

/// Where `--embedded` without a directory keeps its data.
pub const DEFAULT_DIR: &str = ".eventfabric/postgres";
