//! Notices when nothing moves although there is work, and names who is in the way.

mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sqlx::PgPool;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use self::watch::{Change, Place, Watch};
use super::head::Head;
use crate::plugin::{RELAY, Registered, Registry};
use crate::store::{self, Blocker};

/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// A look that takes long is made less often.
const REST: u32 = 10;

/// Something that has work and does not do it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stall {
    /// `the log`, `the outbox`, or `the projection NAME`.
    pub what: String,
    /// For how many seconds it has stood still, when it was looked at last.
    pub seconds: f64,
    /// What is in the way.
    pub reason: String,
    /// It was paused: what was asked for, and nothing is wrong.
    pub paused: bool,
}

impl std::fmt::Display for Stall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let still = Duration::from_millis((self.seconds * 1000.0) as u64);
        let still = if still > Duration::from_secs(10) {
            Duration::from_secs(still.as_secs())
        } else {
            still
        };
        write!(f, "{} has stood still for {still:?}: {}", self.what, self.reason)
    }
}

/// Looks after everything of a host that can stand still.
pub(super) struct StallWatch {
    pub pool: PgPool,
    pub registry: Arc<Registry>,
    pub head: channel::Receiver<Head>,
    /// Told how it stands after each look.
    pub stalls: channel::Sender<Vec<Stall>>,
    /// What stands still for so long is a stall.
    pub after: Duration,
    /// After this time the claim of another program's worker counts as dead.
    pub foreign_lease: Duration,
    pub stop: CancellationToken,
}

impl StallWatch {
    /// Looks from time to time until cancelled.
    pub(super) async fn run(self) {
        let mut watch = Watch::new(self.after);
        loop {
            let begun = Instant::now();
            let looked = tokio::select! {
                () = self.stop.cancelled() => break,
                looked = self.look(&mut watch) => looked,
            };
            if let Err(error) = looked {
                // That the database does not answer is said by those who need it.
                tracing::debug!(%error, "it is not known whether everything moves");
            }
            let pause = LOOK.min(self.after / 4).max(begun.elapsed() * REST);
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.stalls.send_replace(Vec::new());
    }

    async fn look(&self, watch: &mut Watch) -> sqlx::Result<()> {
        let places = self.places().await?;
        let changes = watch.look(&places, Instant::now());
        let still = watch.still(Instant::now());
        let mut found = Vec::new();
        if !still.is_empty() {
            let blockers = store::blockers(&self.pool, self.after).await?;
            for (what, time) in still {
                if let Some(place) = places.iter().find(|place| place.what == what) {
                    let reason = self.reason(place, &blockers).await?;
                    let paused = place.paused;
                    found.push(Stall { what, seconds: time.as_secs_f64(), reason, paused });
                }
            }
        }
        for change in changes {
            match change {
                Change::Stands(what) => {
                    if let Some(stall) = found.iter().find(|stall| stall.what == what) {
                        tracing::warn!("{stall}");
                    }
                }
                Change::Moves(what, after) => {
                    let after = Duration::from_secs(after.as_secs());
                    tracing::info!("{what} moves again, after {after:?}");
                }
            }
        }
        self.stalls.send_if_modified(|known| {
            let changed = *known != found;
            *known = found;
            changed
        });
        Ok(())
    }

    /// Everything that can have work, and where it stands.
    async fn places(&self) -> sqlx::Result<Vec<Place>> {
        let head = self.head.borrow().clone();
        let (tenants, last): (Vec<String>, Vec<i64>) =
            head.tenants.iter().map(|(tenant, last)| (tenant.clone(), *last)).unzip();
        let queues =
            sqlx::query_file!("src/runner/sql/stall_queues.sql").fetch_one(&self.pool).await?;
        let mut places = vec![
            Place {
                what: LOG.to_owned(),
                at: head.position.to_string(),
                has_work: queues.visible > head.position,
                why: None,
                paused: false,
            },
            Place {
                what: OUTBOX.to_owned(),
                at: queues.oldest.unwrap_or_default().to_string(),
                has_work: queues.oldest.is_some(),
                why: None,
                paused: false,
            },
        ];
        let snapshot = self.registry.snapshot();
        let rows = sqlx::query_file!("src/runner/sql/stall_places.sql", &tenants, &last)
            .fetch_all(&self.pool)
            .await?;
        places.extend(rows.into_iter().map(|row| {
            let paused = row
                .paused_at
                .map(|at| paused(at, row.paused_by.as_deref(), row.pause_reason.as_deref()));
            let known = snapshot.registered.get(&row.name);
            let trouble = known.and_then(|known| known.last_error.clone());
            let unloaded =
                snapshot.current(&row.name).is_none() && !known.is_some_and(Registered::is_relay);
            Place {
                what: format!("the projection {}", row.name),
                at: row.place.unwrap_or_default(),
                has_work: row.has_work,
                paused: paused.is_some(),
                why: paused
                    .or_else(|| {
                        row.failed.map(|error| format!("it was stopped by an error: {error}"))
                    })
                    .or_else(|| {
                        trouble.map(|trouble| format!("its last attempt failed: {trouble}"))
                    })
                    .or_else(|| {
                        unloaded.then(|| "its active version is not loaded in this host".to_owned())
                    })
                    .or_else(|| {
                        let relay = row.name.strip_prefix(RELAY)?;
                        Some(format!(
                            "no host runs that has the settings `[relay.{relay}]` as they were last"
                        ))
                    }),
            }
        }));
        Ok(places)
    }

    /// What is in the way.
    async fn reason(&self, place: &Place, blockers: &[Blocker]) -> sqlx::Result<String> {
        if let Some(why) = &place.why {
            return Ok(why.clone());
        }
        if place.what == OUTBOX
            && let Some(foreign) = store::foreign_worker(&self.pool, self.foreign_lease).await?
        {
            let worker = foreign.worker.unwrap_or_else(|| "unnamed".to_owned());
            return Ok(format!(
                "the worker {worker} of another program holds rows since {}",
                foreign.locked_at.to_rfc3339_opts(SecondsFormat::Secs, true)
            ));
        }
        Ok(in_the_way(blockers, place.what == LOG))
    }
}

const LOG: &str = "the log";
const OUTBOX: &str = "the outbox";

/// Why a projection is paused.
pub(super) fn paused(at: DateTime<Utc>, by: Option<&str>, reason: Option<&str>) -> String {
    let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("it has been paused since {at}{by}{reason}")
}

/// The transactions that hold something up: for the log those that may still add an event, else those
/// that others wait for.
pub(super) fn in_the_way(blockers: &[Blocker], log: bool) -> String {
    /// Names of more would hide the first.
    const NAMED: usize = 3;
    let guilty: Vec<String> = blockers
        .iter()
        .filter(|blocker| if log { blocker.holds_log } else { !blocker.blocks.is_empty() })
        // Who waits in turn for another one is not the one to look for.
        .filter(|blocker| log || blocker.blocked_by.is_empty())
        .map(Blocker::to_string)
        .collect();
    match guilty.len() {
        0 => "no transaction that this role can see is in the way; the logs of the hosts may say more"
            .to_owned(),
        1..=NAMED => format!("it waits for {}", guilty.join("; and for ")),
        all => format!(
            "it waits for {}; and for {} more",
            guilty[..NAMED].join("; and for "),
            all - NAMED
        ),
    }
}
