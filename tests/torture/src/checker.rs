//! What must hold at the end.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::hosts::Hosts;
use crate::world::World;
use crate::writers::Ledger;

/// What does not come to rest in this time is taken never to do so.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is still to be done: outbox rows, retries, and events behind the catch-up checkpoint.
const OPEN: &str = "
    SELECT (SELECT count(*) FROM eventfabric.outbox)
         + (SELECT count(*) FROM eventfabric.projection_retries)
         + (SELECT count(*) FROM eventfabric.events e
            LEFT JOIN eventfabric.projection_checkpoints c
                   ON c.projection_name = 'torture_catchup' AND c.tenant_id = e.tenant_id
            WHERE e.global_position > coalesce(c.last_global_position, 0))";

/// Each is a count that must be 0.
const CHECKS: &[(&str, &str)] = &[
    (
        "versions that stream_versions does not know, or does not have",
        "SELECT count(*) FROM eventfabric.stream_versions v
         FULL JOIN (SELECT tenant_id, aggregate_name, aggregate_id, count(*) AS n,
                           max(aggregate_version) AS last
                    FROM eventfabric.events GROUP BY 1, 2, 3) e
              USING (tenant_id, aggregate_name, aggregate_id)
         WHERE e.n IS DISTINCT FROM v.current_version OR e.last IS DISTINCT FROM v.current_version",
    ),
    (
        "events that the catch-up projection has missed",
        "SELECT count(*) FROM eventfabric.events e WHERE NOT EXISTS
         (SELECT FROM torture_catchup.applied a WHERE a.position = e.global_position)",
    ),
    (
        "events that the catch-up projection has applied twice",
        "SELECT count(*) - count(DISTINCT position) FROM torture_catchup.applied",
    ),
    (
        "events out of order in their stream",
        "SELECT sum(leaps)::bigint FROM torture_catchup.streams",
    ),
    (
        "applied events that are not in the log",
        "SELECT count(*) FROM (SELECT position FROM torture_catchup.applied
                               UNION SELECT position FROM torture_async.applied) a
         WHERE NOT EXISTS (SELECT FROM eventfabric.events e WHERE e.global_position = a.position)",
    ),
    (
        "good events that the async projection has missed",
        "SELECT count(*) FROM eventfabric.events e
         WHERE e.payload ->> 'fate' = '' AND NOT EXISTS
         (SELECT FROM torture_async.applied a WHERE a.position = e.global_position)",
    ),
    (
        "events that the async projection has applied twice",
        "SELECT count(*) - count(DISTINCT position) FROM torture_async.applied",
    ),
    (
        "bad events that the async projection has applied",
        "SELECT count(*) FROM torture_async.applied a
         JOIN eventfabric.events e ON e.global_position = a.position
         WHERE e.payload ->> 'fate' <> ''",
    ),
    (
        "dead letters too many or too few",
        "SELECT count(*) FROM (SELECT global_position FROM eventfabric.events
                               WHERE payload ->> 'fate' <> '') e
         FULL JOIN (SELECT global_position, count(*) AS n FROM eventfabric.outbox_dead_letters
                    WHERE projection_name = 'torture_async' GROUP BY 1) d USING (global_position)
         WHERE e.global_position IS NULL OR d.n IS DISTINCT FROM 1",
    ),
];

/// Waits until the hosts have done all that there is.
pub async fn settle(world: &World, hosts: &Hosts) -> anyhow::Result<Vec<String>> {
    let start = Instant::now();
    loop {
        hosts.supervise().await?;
        let open = world.number(OPEN).await?;
        if open == 0 {
            println!("  caught up after {:.1} s", start.elapsed().as_secs_f64());
            return Ok(Vec::new());
        }
        if start.elapsed() > PATIENCE {
            let failed = world
                .texts(
                    "SELECT projection_name || ' is ' || state || ': ' || coalesce(last_error, '')
                     FROM eventfabric.projections",
                )
                .await?;
            return Ok(vec![format!("{open} deliveries are open after {PATIENCE:?}; {failed:?}")]);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Compares.
pub async fn check(world: &World, ledger: &Ledger) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for (what, ids, wanted) in [
        ("acknowledged events that are not in the log", &ledger.written, true),
        ("refused events that are in the log", &ledger.refused, false),
    ] {
        let ids: Vec<Uuid> = ids.iter().copied().collect();
        let found: i64 =
            sqlx::query_scalar("SELECT count(*) FROM eventfabric.events WHERE event_id = ANY($1)")
                .bind(&ids)
                .fetch_one(&world.eyes)
                .await?;
        let wrong = if wanted { ids.len() as i64 - found } else { found };
        if wrong != 0 {
            findings.push(format!("{wrong} {what}"));
        }
    }
    for (what, sql) in CHECKS {
        let wrong: Option<i64> =
            sqlx::query_scalar(AssertSqlSafe(*sql)).fetch_one(&world.eyes).await?;
        match wrong {
            Some(0) => {}
            wrong => findings.push(format!("{} {what}", wrong.unwrap_or_default())),
        }
    }
    Ok(findings)
}
