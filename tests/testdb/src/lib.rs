//! The PostgreSQL server of the tests: one for all of them. It gives up durability for speed; nothing in it is worth keeping.

#![forbid(unsafe_code)]

mod logins;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
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

/// A file system in memory, and how much room the server asks for there: it uses a tenth.
const MEMORY: &str = "/dev/shm";
const MEMORY_BYTES: u64 = 2 << 30;

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

/// Where the server's data are: in memory, where the system has a file system for that with room in
/// it. Each test makes and removes the 500 files of a database, and ext4 searches long for the
/// number of a new file where it has to pass over those of thousands that were just removed.
pub fn server_dir() -> PathBuf {
    let dir = target_dir().join("test-postgres");
    in_memory(&dir).unwrap_or_else(|| eventfabric_embedded::reachable(&dir).unwrap_or(dir))
}

/// What stands for a directory in memory.
fn in_memory(dir: &Path) -> Option<PathBuf> {
    let memory = Path::new(MEMORY);
    let stat = rustix::fs::statvfs(memory).ok()?;
    let name = dir.to_string_lossy().replace('/', "-");
    let stand_in = memory.join(format!("eventfabric{name}"));
    let has_room = stat.f_bavail.saturating_mul(stat.f_frsize) >= MEMORY_BYTES;
    // What is there stays the place, however full it has become.
    (has_room || stand_in.exists()).then_some(stand_in)
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
/// When there is none and none can be started.
pub async fn server() -> anyhow::Result<Embedded> {
    let server = eventfabric_embedded::start_with(&server_dir(), SETTINGS).await?;
    if server.started {
        logins::quicken(&server).await.context("the passwords of the tests' server")?;
    }
    Ok(server)
}
