//! Transactions that are open for long, and tables that do not get smaller.

use super::{Finding, Found, Patient};
use crate::store;

/// Dead rows below this number are no matter.
const DEAD: i64 = 100_000;
/// A table of so many bytes that holds fewer rows than fit in a hundredth of it is mostly air.
const LARGE: i64 = 256 * 1024 * 1024;
const BYTES_OF_A_ROW: i64 = 1024;

/// Transactions that were left open.
pub(super) async fn transactions(patient: &Patient) -> Found {
    let open = store::blockers(&patient.pool, patient.open).await?;
    // Those that others wait for are listed whatever their age.
    let long = patient.open.as_secs_f64();
    let open = open.into_iter().filter(|of| of.seconds.is_some_and(|seconds| seconds >= long));
    Ok(open
        .map(|of| {
            let (place, advice) = match (&of.gid, of.pid) {
                (Some(gid), _) => (
                    format!("prepared transaction {gid}"),
                    "end it with COMMIT PREPARED or ROLLBACK PREPARED".to_owned(),
                ),
                (None, pid) => {
                    let pid = pid.unwrap_or_default();
                    let advice =
                        format!("end it in its program, or: SELECT pg_terminate_backend({pid})");
                    (format!("server process {pid}"), advice)
                }
            };
            let what = format!("{of} keeps vacuum from clearing up what was deleted since");
            if of.holds_log || !of.blocks.is_empty() {
                Finding::problem(place, what, advice)
            } else {
                Finding::warning(place, what, advice)
            }
        })
        .collect())
}

/// Tables whose rows come and go, and that keep what went.
pub(super) async fn sizes(patient: &Patient) -> Found {
    let tables =
        sqlx::query_file!("src/runner/sql/doctor_tables.sql").fetch_all(&patient.pool).await?;
    let mut found = Vec::new();
    for table in tables {
        let place = format!("eventfabric.{}", table.name);
        if table.dead > DEAD && table.dead > 2 * table.live {
            let vacuumed = table.vacuumed_at.map_or_else(
                || "it was never vacuumed".to_owned(),
                |at| format!("it was vacuumed last at {at}"),
            );
            found.push(Finding::warning(
                place,
                format!("{} dead rows beside {} live ones; {vacuumed}", table.dead, table.live),
                "find what keeps autovacuum from it: an old transaction, a replication slot, or that it \
                 is off",
            ));
        } else if table.bytes > LARGE && table.live * BYTES_OF_A_ROW * 100 < table.bytes {
            found.push(Finding::warning(
                place,
                format!("{} MiB for {} rows", table.bytes / (1024 * 1024), table.live),
                format!("in a quiet hour: VACUUM FULL eventfabric.{}", table.name),
            ));
        }
    }
    Ok(found)
}
