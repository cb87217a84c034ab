//! What is left behind, and what it costs the next claim.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

/// The statement that is asked what it touches.
const CLAIM: &str = include_str!("../../../host/src/store/sql/outbox_claim.sql");
/// Rows of the claim.
const ROWS: i32 = 500;
/// Tables whose rows come and go.
const TABLES: [&str; 4] =
    ["outbox", "projection_retries", "projection_checkpoints", "stream_versions"];
/// What a table may be larger in the last round, beside a quarter: as much as the queue was longer at its
/// longest.
const ALLOWANCE: i64 = 512 * 1024;

/// How it stood after a round.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Deliveries up to here.
    pub deliveries: i64,
    /// Bytes of each table with its indexes, after a vacuum.
    pub bytes: BTreeMap<&'static str, i64>,
    /// Updates of each table that touched no index, in percent of all of them.
    pub hot: BTreeMap<&'static str, i64>,
    /// Dead rows of the outbox before that vacuum: what autovacuum had left.
    pub dead: i64,
    /// Pages that a claim of 500 rows touches in the outbox before that vacuum, and after it.
    pub claim_before: i64,
    /// See `claim_before`.
    pub claim: i64,
}

/// Looks at a database whose host has stopped.
pub async fn take(
    owner: &PgConnectOptions,
    eyes: &PgPool,
    deliveries: i64,
) -> anyhow::Result<Sample> {
    let mut conn = PgConnection::connect_with(owner).await?;
    // What sessions have counted is told when they end, at the latest.
    let dead: Option<i64> =
        sqlx::query_scalar("SELECT pg_stat_get_dead_tuples('eventfabric.outbox'::regclass)")
            .fetch_one(&mut conn)
            .await?;
    let claim_before = claim(&mut conn).await?;
    for table in TABLES {
        conn.execute(AssertSqlSafe(format!("VACUUM eventfabric.{table}"))).await?;
    }
    let claim_after = claim(&mut conn).await?;
    let (mut bytes, mut hot) = (BTreeMap::new(), BTreeMap::new());
    for table in TABLES {
        let (size, percent): (i64, i64) = sqlx::query_as(
            "SELECT pg_total_relation_size(relid),
                    (100 * n_tup_hot_upd / greatest(n_tup_upd, 1))::bigint
             FROM pg_stat_user_tables WHERE schemaname = 'eventfabric' AND relname = $1",
        )
        .bind(table)
        .fetch_one(eyes)
        .await?;
        bytes.insert(table, size);
        hot.insert(table, percent);
    }
    conn.close().await?;
    Ok(Sample { deliveries, bytes, hot, dead: dead.unwrap_or(0), claim_before, claim: claim_after })
}

/// Puts rows into the outbox, claims them, and undoes both: what the claim touched there.
async fn claim(conn: &mut PgConnection) -> anyhow::Result<i64> {
    let epoch: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(generation), 0)::bigint FROM eventfabric.projections
         WHERE mode = 'async'",
    )
    .fetch_one(&mut *conn)
    .await?;
    let mut tx = conn.begin().await?;
    tx.execute(AssertSqlSafe(format!(
        "INSERT INTO eventfabric.outbox (global_position)
         SELECT -n FROM generate_series(1, {ROWS}) n"
    )))
    .await?;
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {CLAIM}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .bind(i64::from(ROWS))
        .bind(60.0)
        .bind(epoch)
        .fetch_one(&mut *tx)
        .await?;
    tx.rollback().await?;
    let node = claimed(&plan[0]["Plan"]).context("the claim has a part named `claimed`")?;
    anyhow::ensure!(node["Actual Rows"].as_f64() == Some(f64::from(ROWS)), "claimed: {node}");
    let pages = |name: &str| node[name].as_i64().unwrap_or(0);
    Ok(pages("Shared Hit Blocks") + pages("Shared Read Blocks"))
}

/// The part of the plan that takes the rows.
fn claimed(plan: &Value) -> Option<&Value> {
    if plan["Subplan Name"] == "CTE claimed" {
        return Some(plan);
    }
    plan["Plans"].as_array()?.iter().find_map(claimed)
}

/// What has grown from the first round to the last one, and should not have.
pub fn judge(samples: &[Sample]) -> Vec<String> {
    // Before the first round the tables had not reached the size that they work with.
    let (Some(first), Some(last)) = (samples.get(1), samples.last()) else {
        return vec!["nothing was delivered".to_owned()];
    };
    let mut findings = Vec::new();
    for (table, before) in &first.bytes {
        let after = last.bytes[table];
        if after > before + before / 4 + ALLOWANCE {
            findings.push(format!("{table} has grown from {before} to {after} bytes"));
        }
    }
    if last.claim > first.claim + first.claim / 4 {
        let (before, after) = (first.claim, last.claim);
        findings.push(format!("a claim touches {after} pages, and touched {before}"));
    }
    for (table, least) in [("projection_checkpoints", 90), ("stream_versions", 80)] {
        if last.hot[table] < least {
            let hot = last.hot[table];
            findings.push(format!("only {hot}% of the updates of {table} leave its index alone"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(outbox: i64, claim: i64, hot: i64) -> Sample {
        Sample {
            deliveries: 0,
            bytes: [("outbox", outbox)].into(),
            hot: [("projection_checkpoints", hot), ("stream_versions", hot)].into(),
            dead: 0,
            claim_before: claim,
            claim,
        }
    }

    #[test]
    fn what_grows_is_found() {
        let first = sample(1_000_000, 40, 95);
        let warm = sample(10_000, 10, 0);
        let judge = |last: Sample| judge(&[warm.clone(), first.clone(), last]);
        assert!(judge(sample(1_300_000, 45, 95)).is_empty());
        assert_eq!(judge(sample(2_000_000, 45, 95)).len(), 1);
        assert_eq!(judge(sample(1_000_000, 90, 95)).len(), 1);
        assert_eq!(judge(sample(1_000_000, 40, 10)).len(), 2);
        assert_eq!(super::judge(&[]).len(), 1);
    }
}
