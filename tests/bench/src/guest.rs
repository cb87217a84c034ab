//! The components of the guests.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

/// The guest that follows the log.
pub const CATCH_UP: &str = "bench_catch_up";
/// The guest that is fed by the outbox.
pub const ASYNC: &str = "bench_async";
/// The guest that runs in the transaction of appends.
pub const INLINE: &str = "bench_inline";

/// The bytes of a guest whose projection is called `{guest}_{number:03}`.
pub fn numbered(dir: &Path, guest: &str, number: usize) -> anyhow::Result<Arc<[u8]>> {
    let path = dir.join(format!("{guest}.wasm"));
    let mut bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let (old, new) = (name(guest, 0), name(guest, number));
    let places: Vec<usize> = bytes
        .windows(old.len())
        .enumerate()
        .filter(|(_, it)| *it == old.as_bytes())
        .map(|(at, _)| at)
        .collect();
    anyhow::ensure!(!places.is_empty(), "{} does not hold its name {old}", path.display());
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    }
    Ok(bytes.into())
}

/// The name of its projection, and of its schema.
pub fn name(guest: &str, number: usize) -> String {
    format!("{guest}_{number:03}")
}
