//! What must hold at the end.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::guests::Guest;
use crate::hosts::Hosts;
use crate::world::World;
use crate::writers::Ledger;

/// What does not come to rest in this time is taken never to do so.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is still to be done in the queues of async projections.
const QUEUED: &str = "
    SELECT (SELECT count(*) FROM eventfabric.outbox)
         + (SELECT count(*) FROM eventfabric.projection_retries)";

/// Versions that stream_versions does not know, or does not have: must be 0.
const VERSIONS: &str = "
    SELECT count(*) FROM eventfabric.stream_versions v
    FULL JOIN (SELECT tenant_id, aggregate_name, aggregate_id, count(*) AS n,
                      max(aggregate_version) AS last
               FROM eventfabric.events GROUP BY 1, 2, 3) e
         USING (tenant_id, aggregate_name, aggregate_id)
    WHERE e.n IS DISTINCT FROM v.current_version OR e.last IS DISTINCT FROM v.current_version";

const DEAD_LETTERS: &str = "
    SELECT count(*) FROM (SELECT global_position FROM eventfabric.events
                          WHERE payload ->> 'fate' IN ('poison', 'trap')) e
    FULL JOIN (SELECT global_position, count(*) AS n FROM eventfabric.outbox_dead_letters
               WHERE projection_name = '{}' GROUP BY 1) d USING (global_position)
    WHERE e.global_position IS NULL OR d.n IS DISTINCT FROM 1";

const ALL: &str = "true";
const GOOD: &str = "payload ->> 'fate' NOT IN ('poison', 'trap')";
const BY_LIBRARY: &str = "payload ->> 'by' = 'library'";

impl Guest {
    /// The events that it must have applied, as a condition.
    fn applies(self) -> &'static str {
        match (self.inline, self.buries) {
            (true, _) => BY_LIBRARY,
            (_, true) => GOOD,
            _ => ALL,
        }
    }

    /// Counts the events that it has not applied. Events that no checkpoint will come to again stay
    /// among them.
    fn missed(self) -> String {
        format!(
            "SELECT count(*) FROM eventfabric.events e WHERE {} AND NOT EXISTS
             (SELECT FROM {}.applied a WHERE a.position = e.global_position)",
            self.applies(),
            self.name
        )
    }

    /// What must be 0 at the end.
    fn checks(self) -> Vec<(&'static str, String)> {
        let name = self.name;
        let mut checks = vec![
            ("events missed", self.missed()),
            (
                "events applied more than once",
                format!("SELECT count(*) - count(DISTINCT position) FROM {name}.applied"),
            ),
            (
                "events applied that are not in the log, or not for it",
                format!(
                    "SELECT count(*) FROM {name}.applied a WHERE NOT EXISTS
                     (SELECT FROM eventfabric.events e
                      WHERE e.global_position = a.position AND {})",
                    self.applies()
                ),
            ),
            (
                "events out of order in their stream",
                format!("SELECT sum(leaps)::bigint FROM {name}.streams"),
            ),
        ];
        if self.buries {
            checks.push(("dead letters too many or too few", DEAD_LETTERS.replace("{}", name)));
        }
        checks
    }
}

/// Waits until the hosts have done all that there is.
pub async fn settle(world: &World, hosts: &Hosts) -> anyhow::Result<Vec<String>> {
    let start = Instant::now();
    loop {
        hosts.supervise().await?;
        world.resume().await?;
        let mut open = vec![("in the queues", world.number(QUEUED).await?)];
        for guest in hosts.guests.iter().filter(|guest| !guest.inline) {
            open.push((guest.name, world.number(&guest.missed()).await?));
            if guest.buries {
                let letters = world.number(&DEAD_LETTERS.replace("{}", guest.name)).await?;
                open.push((guest.name, letters));
            }
        }
        open.retain(|(_, open)| *open != 0);
        if open.is_empty() {
            println!("  caught up after {:.1} s", start.elapsed().as_secs_f64());
            return Ok(Vec::new());
        }
        if start.elapsed() > PATIENCE {
            let states = "SELECT projection_name || ' is ' || state || ': ' ||
                                 coalesce(last_error, '') FROM eventfabric.projections";
            let states = world.texts(states).await?;
            return Ok(vec![format!("open after {PATIENCE:?}: {open:?}; {states:?}")]);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Compares.
pub async fn check(
    world: &World,
    guests: &[Guest],
    ledger: &Ledger,
) -> anyhow::Result<Vec<String>> {
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
    let versions = ("the log", "streams of another version than their events", VERSIONS.to_owned());
    let checks = guests
        .iter()
        .flat_map(|guest| guest.checks().into_iter().map(|(what, sql)| (guest.name, what, sql)));
    for (name, what, sql) in [versions].into_iter().chain(checks) {
        match world.number(&sql).await? {
            0 => {}
            wrong => findings.push(format!("{name}: {wrong} {what}")),
        }
    }
    Ok(findings)
}
