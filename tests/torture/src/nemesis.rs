//! What goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eventfabric::plugin::{self, SettingsChange, SettingsError};
use rand::Rng as _;
use rand::rngs::StdRng;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use crate::guests::Guest;
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
        let guest = hosts.guests[chance.random_range(0..hosts.guests.len())];
        let short = Duration::from_millis(chance.random_range(100..1_500));
        let long = Duration::from_millis(chance.random_range(1_000..8_000));
        let deed = match chance.random_range(0..100) {
            0..16 => {
                hosts.kill(which).await?;
                "kills of hosts"
            }
            16..28 => {
                hosts.pause(which, long).await?;
                "pauses of hosts"
            }
            28..42 => {
                world.number(BACKENDS).await?;
                "killed backends"
            }
            42..46 => {
                world.restart("KILL").await?;
                "crashes of the server"
            }
            46..49 => {
                world.restart("QUIT").await?;
                "immediate restarts of the server"
            }
            49..51 => {
                world.restart("INT").await?;
                "fast restarts of the server"
            }
            51..61 => {
                hosts.proxies[which].cut();
                "cut connections"
            }
            61..67 => {
                hosts.proxies[which].flow(false);
                tokio::time::sleep(long).await;
                hosts.proxies[which].flow(true);
                "silences of the network"
            }
            67..80 => {
                let word = guest.moods[chance.random_range(0..guest.moods.len())];
                mood(&world, guest, Some(word)).await;
                tokio::time::sleep(short).await;
                mood(&world, guest, None).await;
                world.resume().await?;
                "bad moods"
            }
            80..86 => {
                let change = match guest.shards {
                    true => SettingsChange {
                        shards: Some(chance.random_range(1..5)),
                        ..SettingsChange::default()
                    },
                    false => SettingsChange {
                        priority: Some(chance.random_range(0..9)),
                        ..SettingsChange::default()
                    },
                };
                persist(async || plugin::change(&world.eyes, guest.name, &change).await).await?;
                "changed settings"
            }
            86..91 if !guest.inline => {
                let by = Some("the nemesis");
                persist(async || plugin::pause(&world.eyes, guest.name, by, None).await).await?;
                tokio::time::sleep(short).await;
                persist(async || plugin::resume(&world.eyes, guest.name).await).await?;
                "paused projections"
            }
            _ => {
                version = version.wrapping_add(1);
                hosts.swap(&world, guest, version)?;
                "swaps of plugins"
            }
        };
        *deeds.entry(deed).or_default() += 1;
        hosts.supervise().await?;
    }
    for guest in &hosts.guests {
        mood(&world, *guest, None).await;
    }
    let deeds = deeds.iter().map(|(deed, n)| format!("{n} {deed}"));
    Ok(deeds.collect::<Vec<_>>().join(", "))
}

/// Changes what hosts do, however often the server is away. (A change whose answer was lost is there
/// already: nothing else is refused here, but before a guest's first deployment.)
async fn persist(mut change: impl AsyncFnMut() -> Result<(), SettingsError>) -> anyhow::Result<()> {
    for _ in 0..50 {
        match change().await {
            Err(SettingsError::Database(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(SettingsError::Value(message)) => anyhow::bail!("{message}"),
            Ok(()) | Err(_) => return Ok(()),
        }
    }
    anyhow::bail!("the server does not come back")
}

/// Ends some connections of the hosts, chosen by the server.
const BACKENDS: &str = "
    SELECT count(pg_terminate_backend(pid)) FROM (
        SELECT pid FROM pg_stat_activity
        WHERE application_name LIKE 'eventfabric%' AND pid <> pg_backend_pid()
        ORDER BY md5(pid::text || clock_timestamp()::text) LIMIT 3) AS chosen";

/// Sets the mood of a guest. Its table is not there before the guest's first deployment.
async fn mood(world: &World, guest: Guest, word: Option<&str>) {
    let guest = guest.name;
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
