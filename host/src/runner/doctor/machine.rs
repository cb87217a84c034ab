//! Room on disks: of this machine, and what the server keeps on its own.

use std::path::Path;

use super::{Finding, Found, Patient};

const MIB: u64 = 1024 * 1024;

/// Whether the folders that this machine has have room, and whether the server keeps WAL for somebody who does
/// not come.
pub(super) async fn disk(patient: &Patient) -> Found {
    let mut found = Vec::new();
    match &patient.config.cache_dir {
        Some(dir) => found.extend(cache(dir, patient.least_free)),
        None => found.push(Finding::note(
            "cache_dir",
            "it is not set: each start compiles all plugins anew",
            "name a folder that stays",
        )),
    }
    let server =
        sqlx::query_file!("src/runner/sql/doctor_disk.sql").fetch_one(&patient.pool).await?;
    let options = patient.pool.connect_options();
    let here = options.get_socket().is_some()
        || matches!(options.get_host(), "localhost" | "127.0.0.1" | "::1" | "[::1]");
    // Another machine can have a folder of the same name.
    let data = patient.private.clone().or(server.data.filter(|_| here).map(Into::into));
    if let Some(dir) = data
        && let Some(free) = free(&dir)
        && free < patient.least_free
    {
        found.push(Finding::problem(
            dir.display().to_string(),
            format!(
                "{} MiB are free where the database is: without room the server stops",
                free / MIB
            ),
            "make room there; `eventfabric partitions` tells how old events can leave",
        ));
    }
    let slots = sqlx::query_file!("src/runner/sql/doctor_slots.sql", patient.kept)
        .fetch_all(&patient.pool)
        .await?;
    found.extend(slots.into_iter().map(|slot| {
        let reader = if slot.active { "whose reader is behind" } else { "which nobody reads" };
        let kept = slot.kept / MIB as i64;
        Finding::warning(
            format!("replication slot {}", slot.name),
            format!("the server keeps {kept} MiB of WAL for it, {reader}: the disk of the server fills up"),
            format!(
                "have its reader go on, or give it up: SELECT pg_drop_replication_slot('{}')",
                slot.name.replace('\'', "''")
            ),
        )
    }));
    Ok(found)
}

/// What is wrong with the folder of compiled plugins.
fn cache(dir: &Path, least: u64) -> Option<Finding> {
    let place = format!("cache_dir {}", dir.display());
    let cure = "make room, or name another folder: cache_dir, or XDG_CACHE_HOME";
    // It is made at the first start.
    let there = dir.ancestors().find(|dir| dir.exists())?;
    if !there.is_dir() || rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_err() {
        let what = "no compiled plugin can be kept there: it can't be written to";
        return Some(Finding::problem(place, what, cure));
    }
    let free = free(there).filter(|free| *free < least)?;
    let what = format!("{} MiB are free: compiled plugins may not be kept", free / MIB);
    Some(Finding::warning(place, what, cure))
}

/// Bytes that an ordinary user may still write; none where it can't be seen.
fn free(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
