//! A private PostgreSQL server in a directory: found or downloaded, initialised, started, found
//! again by the next program, and stopped by the last one that uses it.
//!
//! A crate of its own, because the host's statements are checked against a live server when the
//! host is compiled: whatever starts that server can't need the host.
//!
//! In the directory: `data` (the cluster), `password` (mode 0600), `port` (the last one, kept so
//! that a URL stays good), `log`, and the locks `start.lock` (held while a program looks for,
//! starts or stops the server) and `users.lock` (shared by the programs that use it; the kernel lets
//! it go when one is killed).

#![forbid(unsafe_code)]

mod account;
mod binaries;
mod cluster;
mod error;
mod server;

pub use error::EmbeddedError;
pub use server::{
    ADMINISTRATOR, DATABASE, Embedded, OWNER, discard, reachable, start, start_with, stop,
};
