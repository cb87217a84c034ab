//! What goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use crate::hosts::Hosts;
use crate::world::World;

/// Does one evil after the other until it is told to stop; heals everything then. Answers what it
/// did, in words.
pub async fn rage(
    world: Arc<World>,
    hosts: Arc<Hosts>,
    mut chance: StdRng,
    stop: CancellationToken,
) -> anyhow::Result<String> {
    let mut deeds = BTreeMap::<&str, u32>::new();
    let mut version = 0_u8;
    loop {
        let pause = Duration::from_millis(chance.random_range(200..2_500));
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
        let which = chance.random_range(0..hosts.count());
        let short = Duration::from_millis(chance.random_range(100..1_500));
        let long = Duration::from_millis(chance.random_range(1_000..8_000));
        let deed = match chance.random_range(0..100) {
            0..20 => {
                hosts.kill(which).await?;
                "kills of hosts"
            }
            20..32 => {
                hosts.pause(which, long).await?;
                "pauses of hosts"
            }
            32..47 => {
                world.number(BACKENDS).await?;
                "killed backends"
            }
            47..52 => {
                world.crash().await?;
                "crashes of the server"
            }
            52..65 => {
                hosts.proxies[which].cut();
                "cut connections"
            }
            65..73 => {
                hosts.proxies[which].flow(false);
                tokio::time::sleep(long).await;
                hosts.proxies[which].cut();
                hosts.proxies[which].flow(true);
                "silences of the network"
            }
            73..90 => {
                let (guest, words): (_, &[_]) = if chance.random_bool(0.5) {
                    ("torture_async", &["retry"])
                } else {
                    ("torture_catchup", &["retry", "trap", "sql"])
                };
                let word = words[chance.random_range(0..words.len())];
                mood(&world, guest, Some(word)).await;
                tokio::time::sleep(short).await;
                mood(&world, guest, None).await;
                "bad moods"
            }
            _ => {
                version = version.wrapping_add(1);
                hosts.swap(&world, which, version)?;
                "swaps of plugins"
            }
        };
        *deeds.entry(deed).or_default() += 1;
        hosts.supervise().await?;
    }
    for guest in ["torture_async", "torture_catchup"] {
        mood(&world, guest, None).await;
    }
    let deeds = deeds.iter().map(|(deed, n)| format!("{n} {deed}"));
    Ok(deeds.collect::<Vec<_>>().join(", "))
}

/// Ends some connections of the hosts, chosen by the server.
const BACKENDS: &str = "
    SELECT count(pg_terminate_backend(pid)) FROM (
        SELECT pid FROM pg_stat_activity
        WHERE application_name LIKE 'eventfabric%' AND pid <> pg_backend_pid()
        ORDER BY md5(pid::text || clock_timestamp()::text) LIMIT 3) AS chosen";

/// Sets the mood of a guest. Its table is not there before the guest's first deployment.
async fn mood(world: &World, guest: &str, word: Option<&str>) {
    let sql = match word {
        Some(word) => format!("INSERT INTO {guest}.mood VALUES ('{word}')"),
        None => format!("DELETE FROM {guest}.mood"),
    };
    for _ in 0..50 {
        match sqlx::query(AssertSqlSafe(sql.clone())).execute(&world.eyes).await {
            Ok(_) => return,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => return,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("3F000") => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
