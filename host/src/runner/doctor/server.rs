//! The server, what it is set to, and what the host's role may do there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Finding, Found, Patient};
use crate::store::migrate::{self, MigrateError};

/// The oldest version that the sandbox works on.
const OLDEST: i32 = 140_000;
/// Clocks that differ by more make times of events and of leases hard to read.
const APART: Duration = Duration::from_secs(1);
/// Transaction ids of this age: the server stops taking writes at some two thousand million.
const OLD_IDS: i32 = 1_000_000_000;

macro_rules! server {
    ($patient:expr) => {
        sqlx::query_file!("src/runner/sql/doctor_server.sql").fetch_one(&$patient.pool).await?
    };
}

/// Whether this server is one to write to.
pub(super) async fn kind(patient: &Patient) -> Found {
    let server = server!(patient);
    let mut found = Vec::new();
    if server.number < OLDEST {
        found.push(Finding::problem(
            format!("PostgreSQL {}", server.version),
            "the server is older than version 14, and has no functions with a parsed body",
            "update the server",
        ));
    }
    if server.standby || server.read_only {
        let what = if server.standby { "it is a standby" } else { "it takes no writes" };
        let advice = "connect to the primary, or turn default_transaction_read_only off";
        found.push(Finding::problem(format!("PostgreSQL {}", server.version), what, advice));
    }
    if server.age > OLD_IDS {
        found.push(Finding::problem(
            "transaction ids",
            format!("the oldest is {} transactions old; the server stops at 2 thousand million", server.age),
            "find what keeps vacuum from freezing: an old transaction, a prepared one, a replication \
             slot",
        ));
    }
    Ok(found)
}

/// Settings that lose events, or cut the host's connections.
pub(super) async fn settings(patient: &Patient) -> Found {
    let server = server!(patient);
    let mut found = Vec::new();
    for (name, safe, lost) in [
        ("fsync", server.fsync, "a crash of the machine can destroy the whole cluster"),
        ("full_page_writes", server.full_page_writes, "a crash of the machine can tear pages"),
    ] {
        if !safe {
            found.push(Finding::problem(name, format!("it is off: {lost}"), "turn it on"));
        }
    }
    if server.synchronous_commit == "off" {
        found.push(Finding::warning(
            "synchronous_commit",
            "it is off: appends of the last moments that were answered are gone after a crash",
            "turn it on, unless that is what you want",
        ));
    }
    if !server.autovacuum {
        found.push(Finding::problem(
            "autovacuum",
            "it is off (or track_counts is): the outbox and its indexes grow for ever",
            "turn both on",
        ));
    }
    let wanted = patient.connections as i32;
    if wanted > server.connections {
        found.push(Finding::problem(
            "max_connections",
            format!(
                "a host may open {wanted} connections, and the server takes {} of all programs",
                server.connections
            ),
            "lower max_connections of the host, or raise that of the server",
        ));
    }
    for timeout in &server.timeouts {
        // The host sets those of its statements by itself.
        if timeout.starts_with("idle") || timeout.starts_with("transaction") {
            found.push(Finding::warning(
                timeout.clone(),
                "it cuts connections that the host keeps, which it opens anew",
                "set it to 0 for the role of the host: ALTER ROLE … SET",
            ));
        }
    }
    Ok(found)
}

/// Whether host and server agree on what time it is.
pub(super) async fn clock(patient: &Patient) -> Found {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let before = now();
    let server = server!(patient);
    let after = now();
    Ok(differ(before, server.clock, after).into_iter().collect())
}

/// What to say of clocks: the server's was read at some moment between `before` and `after`.
fn differ(before: f64, server: f64, after: f64) -> Option<Finding> {
    let apart = (before - server).max(server - after).max(0.0);
    (apart > APART.as_secs_f64()).then(|| {
        Finding::warning(
            "clock",
            format!("the clocks of host and server differ by {apart:.1} s"),
            "have both follow a time server",
        )
    })
}

/// Whether the role may do what a host has to do, and no more.
pub(super) async fn rights(patient: &Patient) -> Found {
    let rights =
        sqlx::query_file!("src/runner/sql/doctor_rights.sql").fetch_one(&patient.pool).await?;
    let role = format!("role {}", rights.role);
    let mut found = Vec::new();
    if rights.superuser {
        found.push(Finding::warning(
            role,
            "the host connects as a superuser, and needs no more than CREATEROLE and the database",
            "give it a role of its own",
        ));
        return Ok(found);
    }
    if !rights.creates_roles {
        found.push(Finding::note(
            role.clone(),
            "it may not create roles, so those of a plugin must be there before it is deployed",
            format!(
                "have an administrator run what `eventfabric plugin roles NAME` prints, or: ALTER ROLE {} \
                 CREATEROLE",
                rights.role
            ),
        ));
    }
    if !rights.creates_schemas {
        found.push(Finding::problem(
            role.clone(),
            "it may not create schemas in this database, so no plugin that is new can be deployed",
            format!("GRANT CREATE ON DATABASE … TO {}", rights.role),
        ));
    }
    if !rights.sees_sessions {
        found.push(Finding::note(
            role,
            "it does not see what other roles' sessions do, so a stall may not be explained",
            format!("GRANT pg_read_all_stats TO {}", rights.role),
        ));
    }
    Ok(found)
}

/// Whether the tables are those that this program knows.
pub(super) async fn migrations(patient: &Patient) -> Found {
    let status = match migrate::check(&patient.pool).await {
        Err(newer @ MigrateError::NewerThanBinary { .. }) => {
            let advice = "use the version of eventfabric that has migrated it";
            return Ok(vec![Finding::problem("migrations", newer.to_string(), advice)]);
        }
        checked => checked?,
    };
    if status.pending.is_empty() {
        return Ok(Vec::new());
    }
    let what = format!("the database lacks {}", status.pending.join(", "));
    Ok(vec![Finding::problem("migrations", what, "run `eventfabric migrate`")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_by_what_the_way_to_the_server_does_not_explain() {
        assert_eq!(differ(100.0, 107.5, 108.0), None, "a slow answer");
        assert_eq!(differ(100.0, 100.9, 100.0), None);
        for server in [98.7, 101.5] {
            let told = differ(100.0, server, 100.2).unwrap();
            assert!(told.what.ends_with("differ by 1.3 s"), "{}", told.what);
        }
    }
}
