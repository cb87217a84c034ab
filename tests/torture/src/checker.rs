//! What must hold at the end.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use eventfabric::store::{LetterFilter, requeue};
use rand::Rng as _;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::hosts::Hosts;
use crate::nemesis::set_mood;
use crate::outcome::{self, Outcome, Stage};
use crate::world::World;
use crate::writers::Ledger;

/// Hosts that get nowhere for so long never will. How long the whole takes depends on the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The mood in which a guest handles every event.
const WELL: &str = "well";

/// What is on its way to async projections.
const QUEUED: &str = "
    SELECT (SELECT count(*) FROM eventfabric.outbox)
         + (SELECT count(*) FROM eventfabric.projection_retries WHERE NOT held)
         + (SELECT count(*) FROM eventfabric.projection_parked)";

/// Versions that stream_versions does not know, or does not have: must be 0.
const VERSIONS: &str = "
    SELECT count(*) FROM eventfabric.stream_versions v
    FULL JOIN (SELECT tenant_id, aggregate_name, aggregate_id, count(*) AS n,
                      max(aggregate_version) AS last
               FROM eventfabric.events GROUP BY 1, 2, 3) e
         USING (tenant_id, aggregate_name, aggregate_id)
    WHERE e.n IS DISTINCT FROM v.current_version OR e.last IS DISTINCT FROM v.current_version";

/// Waits until every projection has done what it must have done in this stage, as long as there is
/// progress. Answers what is wrong then.
pub async fn settle(world: &World, hosts: &Hosts, stage: Stage) -> anyhow::Result<Vec<String>> {
    let start = Instant::now();
    let (mut furthest, mut moved) = (-1, start);
    loop {
        hosts.supervise().await?;
        world.resume().await?;
        let mut faults = Vec::new();
        let queued = world.number(QUEUED).await?;
        if queued == 0 {
            faults = faults_of_all(world, hosts, stage).await?;
            if faults.is_empty() {
                let seconds = start.elapsed().as_secs_f64();
                println!("  {stage:?}: as it must be after {seconds:.1} s");
                return Ok(faults);
            }
        }
        let done = done(world, hosts, stage).await?;
        if done > furthest {
            (furthest, moved) = (done, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            if queued != 0 {
                faults = faults_of_all(world, hosts, stage).await?;
                faults.push(format!("{queued} rows are still in the queues"));
            }
            let states = "SELECT projection_name || ' is ' || state || ': ' ||
                                 coalesce(last_error, '') FROM eventfabric.projections";
            let states = world.texts(states).await?;
            faults.push(format!("{stage:?}: no progress for {PATIENCE:?}; {states:?}"));
            return Ok(faults);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn faults_of_all(world: &World, hosts: &Hosts, stage: Stage) -> anyhow::Result<Vec<String>> {
    let log = outcome::log(world).await?;
    let mut faults = Vec::new();
    for guest in &hosts.guests {
        faults.extend(Outcome::of(world, *guest).await?.faults(*guest, &log, stage));
    }
    Ok(faults)
}

/// A number that grows with each step towards the end of a stage.
async fn done(world: &World, hosts: &Hosts, stage: Stage) -> anyhow::Result<i64> {
    let letters = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
    let mut done = if stage == Stage::Tortured { world.number(letters).await? } else { 0 };
    for guest in &hosts.guests {
        done += world.number(&format!("SELECT count(*) FROM {}.applied", guest.name)).await?;
    }
    Ok(done)
}

/// Takes the poison away and requeues what was given up for its sake; one host is killed meanwhile.
/// Then there must be nothing that a projection has not got.
pub async fn heal(world: &World, hosts: &Hosts, mut chance: StdRng) -> anyhow::Result<Vec<String>> {
    let mut letters = 0;
    for guest in hosts.guests.iter().filter(|guest| guest.buries) {
        set_mood(world, *guest, Some(WELL)).await?;
        let filter = LetterFilter { projection: Some(guest.name), ..LetterFilter::ALL };
        letters += requeue(&world.eyes, &filter).await.context("requeueing dead letters")?;
    }
    let after = Duration::from_millis(chance.random_range(0..300));
    tokio::time::sleep(after).await;
    hosts.kill(chance.random_range(0..hosts.count())).await?;
    println!("  {letters} dead letters requeued");
    settle(world, hosts, Stage::Healed).await
}

/// Compares the log with what the writers were told.
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
    match world.number(VERSIONS).await? {
        0 => {}
        wrong => findings.push(format!("{wrong} streams of another version than their events")),
    }
    Ok(findings)
}
