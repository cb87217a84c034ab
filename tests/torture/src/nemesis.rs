//! What goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use eventfabric::plugin::{self, SettingsChange, SettingsError};
use eventfabric::store::{LetterFilter, requeue};
use rand::rngs::StdRng;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use crate::guests::Guest;
use crate::hosts::Hosts;
use crate::plan::{Blow, Deed, Plan};
use crate::world::{PATIENCE, World};

/// Does one evil after the other, or two at a time, until it is told to stop; heals everything then.
/// Answers what it did, in words.
pub async fn rage(
    world: Arc<World>,
    hosts: Arc<Hosts>,
    chance: StdRng,
    stop: CancellationToken,
) -> anyhow::Result<String> {
    let mut deeds = BTreeMap::<&str, u32>::new();
    let mut pairs = 0;
    let plan = Plan::new(chance, hosts.count(), hosts.guests.clone());
    for Blow { after, deed, beside } in plan {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(after) => {}
        }
        *deeds.entry(deed.name()).or_default() += 1;
        if let Some((later, other)) = beside {
            *deeds.entry(other.name()).or_default() += 1;
            pairs += 1;
            let other = async {
                tokio::time::sleep(later).await;
                strike(&world, &hosts, &other).await
            };
            tokio::try_join!(strike(&world, &hosts, &deed), other)?;
        } else {
            strike(&world, &hosts, &deed).await?;
        }
        hosts.supervise().await?;
    }
    for guest in &hosts.guests {
        set_mood(&world, *guest, None).await?;
    }
    let deeds = deeds.iter().map(|(deed, n)| format!("{n} {deed}"));
    let deeds = deeds.collect::<Vec<_>>().join(", ");
    Ok(format!("{deeds}; {pairs} times two at once"))
}

/// Does it, and undoes what would last.
async fn strike(world: &World, hosts: &Hosts, deed: &Deed) -> anyhow::Result<()> {
    match *deed {
        Deed::Kill(host) => hosts.kill(host).await,
        Deed::Pause(host, time) => hosts.pause(host, time).await,
        Deed::Backends => world.number(BACKENDS).await.map(drop),
        Deed::Restart(signal) => world.restart(signal).await,
        Deed::Cut(host) => {
            hosts.proxies[host].cut();
            Ok(())
        }
        Deed::Silence(host, time) => {
            hosts.proxies[host].flow(false);
            tokio::time::sleep(time).await;
            hosts.proxies[host].flow(true);
            Ok(())
        }
        Deed::Mood(guest, word, time) => {
            set_mood(world, guest, Some(word)).await?;
            tokio::time::sleep(time).await;
            set_mood(world, guest, None).await?;
            world.resume().await
        }
        Deed::Shards(guest, shards) => {
            let change = SettingsChange { shards: Some(shards), ..SettingsChange::default() };
            persist(async || plugin::change(&world.eyes, guest.name, &change).await).await
        }
        Deed::Priority(guest, priority) => {
            let change = SettingsChange { priority: Some(priority), ..SettingsChange::default() };
            persist(async || plugin::change(&world.eyes, guest.name, &change).await).await
        }
        Deed::Rest(guest, time) => {
            let by = Some("the nemesis");
            persist(async || plugin::pause(&world.eyes, guest.name, by, None).await).await?;
            tokio::time::sleep(time).await;
            persist(async || plugin::resume(&world.eyes, guest.name).await).await
        }
        Deed::Requeue(guest) => {
            let filter = LetterFilter { projection: Some(guest.name), ..LetterFilter::ALL };
            // Where the answer is lost it was done, or it was not: both are right.
            let _ = requeue(&world.eyes, &filter).await;
            Ok(())
        }
        Deed::Swap(guest, version) => hosts.swap(world, guest, version),
    }
}

/// Changes what hosts do, however often the server is away. (A change whose answer was lost is there
/// already: nothing else is refused here, but before a guest's first deployment.)
async fn persist(mut change: impl AsyncFnMut() -> Result<(), SettingsError>) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        match change().await {
            Err(SettingsError::Database(error)) => {
                anyhow::ensure!(
                    start.elapsed() < PATIENCE,
                    "the server does not come back: {error}"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(SettingsError::Value(message)) => anyhow::bail!("{message}"),
            Ok(()) | Err(_) => return Ok(()),
        }
    }
}

/// Ends some connections of the hosts, chosen by the server.
const BACKENDS: &str = "
    SELECT count(pg_terminate_backend(pid)) FROM (
        SELECT pid FROM pg_stat_activity
        WHERE application_name LIKE 'eventfabric%' AND pid <> pg_backend_pid()
        ORDER BY md5(pid::text || clock_timestamp()::text) LIMIT 3) AS chosen";

/// Sets the mood of a guest. Its table is not there before the guest's first deployment.
pub async fn set_mood(world: &World, guest: Guest, word: Option<&str>) -> anyhow::Result<()> {
    let guest = guest.name;
    let sql = match word {
        Some(word) => format!("INSERT INTO {guest}.mood VALUES ('{word}')"),
        None => format!("DELETE FROM {guest}.mood"),
    };
    let start = Instant::now();
    loop {
        match sqlx::query(AssertSqlSafe(sql.clone())).execute(&world.eyes).await {
            Ok(_) => return Ok(()),
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("42P01" | "3F000")) =>
            {
                return Ok(());
            }
            Err(error) if start.elapsed() > PATIENCE => return Err(error).context(sql),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
