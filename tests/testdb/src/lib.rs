//! The PostgreSQL server of the tests: one for all of them, kept in the target directory between
//! runs. It gives up durability for speed; nothing in it is worth keeping.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use eventfabric_embedded::{Embedded, EmbeddedError};

/// Names the server to be used, by the URL of its maintenance database as superuser.
pub const SERVER: &str = "EVENTFABRIC_TEST_SERVER";

/// The role that owns the databases of the tests, on that server.
pub const OWNER: &str = eventfabric_embedded::OWNER;

const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    // A template is copied by way of the files, without their WAL.
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_connections", "200"),
    ("max_prepared_transactions", "10"),
    ("max_locks_per_transaction", "256"),
    ("shared_buffers", "128MB"),
    ("autovacuum_naptime", "5min"),
    ("log_checkpoints", "off"),
    // Tests make errors on purpose: name the statement and the database they come from.
    ("log_line_prefix", "%m [%p] %d %a "),
];

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => std::path::absolute(&dir).unwrap_or_else(|_| dir.into()),
        None => workspace().join("target"),
    }
}

/// The root of the repository.
pub fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .expect("the sources are where they were compiled")
}

/// Where the server's data are.
pub fn server_dir() -> PathBuf {
    let dir = target_dir().join("test-postgres");
    eventfabric_embedded::reachable(&dir).unwrap_or(dir)
}

/// Starts a server that is as durable as PostgreSQL is by default, for measurements.
///
/// # Errors
/// See [`EmbeddedError`].
pub async fn durable_server() -> Result<Embedded, EmbeddedError> {
    let dir = target_dir().join("bench-postgres");
    eventfabric_embedded::start(&eventfabric_embedded::reachable(&dir).unwrap_or(dir)).await
}

/// Finds or starts the server. It is left running when the answer is dropped.
///
/// # Errors
/// See [`EmbeddedError`].
pub async fn server() -> Result<Embedded, EmbeddedError> {
    eventfabric_embedded::start_with(&server_dir(), SETTINGS).await
}
