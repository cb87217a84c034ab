//! A private PostgreSQL server in a directory: found or downloaded, initialised, started, found
//! again by the next program, and stopped by the one that owns it.
//!
//! A crate of its own, because the host's statements are checked against a live server when the
//! host is compiled: whatever starts that server can't need the host.
//!
//! In the directory: `data` (the cluster), `password` (mode 0600), `port` (the last one, kept so
//! that a URL stays good), `log`, and the locks `start.lock` (held while a program looks for or
//! starts the server) and `owner.lock` (held by the program that will stop it; the kernel lets it
//! go when that program is killed, and the next one to come takes the server over).

#![forbid(unsafe_code)]

mod account;
mod binaries;
mod cluster;
mod error;
mod server;

pub use error::EmbeddedError;
pub use server::{ADMINISTRATOR, DATABASE, Embedded, OWNER, start, start_with, stop};
