//! Room on disks: of this machine, and what the server keeps on its own.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

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
    let data = server.data.filter(|_| here).map(PathBuf::from);
    let answers = Answers { began: server.began, port: server.port, pid: server.pid };
    let (seen, hidden) = match data {
        Some(dir) if is_of(&dir, &answers) => (Some(dir), None),
        hidden => (None, hidden),
    };
    if let Some(dir) = hidden.filter(|_| patient.private.is_none()) {
        found.push(Finding::note(
            dir.display().to_string(),
            "the data of the server are not seen from here, though its address is of this machine: it may be \
             that of a tunnel or of a container",
            "look at the room where the server runs",
        ));
    }
    if let Some(dir) = patient.private.clone().or(seen)
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

/// What tells one server from another.
struct Answers {
    /// Since when it runs, in seconds since 1970.
    began: i64,
    port: i32,
    /// The process that answers.
    pid: i32,
}

/// Between the times at which a server says that it began: the one in its lock file is a little earlier.
const BEGINNING: i64 = 10;

/// Whether these are the data of the server that answers. An address of this machine can be the end of a tunnel, or a
/// container's, and another server of this machine can have its data at the same place.
fn is_of(dir: &Path, server: &Answers) -> bool {
    match std::fs::read_to_string(dir.join("postmaster.pid")) {
        // Process, folder, beginning, port.
        Ok(lock) => {
            let line = |nth| lock.lines().nth(nth).and_then(|line| line.trim().parse::<i64>().ok());
            line(3) == Some(server.port.into())
                && line(2).is_some_and(|began| (server.began - began).abs() <= BEGINNING)
        }
        // It is another user's, as it should be; but who answers is a process that all users see.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let name = std::fs::read_to_string(format!("/proc/{}/comm", server.pid));
            name.is_ok_and(|name| matches!(name.trim(), "postgres" | "postmaster"))
        }
        Err(_) => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_another_server_at_the_same_place_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let server =
            Answers { began: 1_700_000_003, port: 5432, pid: std::process::id().cast_signed() };
        assert!(!is_of(&dir.path().join("elsewhere"), &server));
        assert!(!is_of(dir.path(), &server), "no server is at work in it");
        let lock = |began: i64, port: i32| {
            let text = format!("77\n{}\n{began}\n{port}\n/tmp\n*\n", dir.path().display());
            std::fs::write(dir.path().join("postmaster.pid"), text).unwrap();
            is_of(dir.path(), &server)
        };
        assert!(lock(1_700_000_001, 5432));
        assert!(!lock(1_700_000_001, 5433), "another one of this machine");
        assert!(!lock(1_600_000_000, 5432), "one of a container, behind the same port");
    }
}
