//! The trial of a new version beside the active one: both handle the same events, a few at a time, in
//! transactions that are rolled back, and thresholds decide how much worse the new one may be.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::answers::Answers;
use super::config::RunnerConfig;
use super::trial::{self, Against};
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, Beyond, Plugin, Registry};
use crate::projection::{Failure, FailureKind};
use crate::sandbox::PluginSql;
use crate::store::StoreError;

/// After this time no further event is measured: others may wait for rows that the trial has touched.
const TIME: Duration = Duration::from_secs(1);

/// So many statements an event more than those of the active version are no reason to refuse a version.
const STATEMENTS: f64 = 10.0;

/// Of fewer events the time says nothing; and of fewer than a hundred that of the slowest ones.
const ENOUGH: usize = 10;
const MANY: usize = 100;

/// Events that are measured together, each with its share, at most. One by one, the making of an instance for each
/// would be most of what is measured, and of what a deploy takes.
const TOGETHER: usize = 20;

const SAVEPOINT: &str = "eventfabric_canary";

/// How a version is tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canary {
    /// On so many of the last events of its types.
    pub events: i64,
    /// It may take so many times as long an event as the active version; 0: as long as it likes.
    pub slower: f64,
    /// What takes less than this is not slow.
    pub floor: Duration,
    /// It may refuse so large a share of the events more than the active version does, leaving out those that
    /// a constraint keeps from being handled twice.
    pub errors: f64,
    /// It may run so many times as many statements an event; 0: as many as it likes.
    pub statements: f64,
}

impl Default for Canary {
    fn default() -> Self {
        RunnerConfig::default().canary()
    }
}

impl From<i64> for Canary {
    fn from(events: i64) -> Self {
        Self { events, ..Self::default() }
    }
}

/// How a version did on trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Events that it handled.
    pub handled: usize,
    /// Events that it refused.
    pub refused: usize,
    /// Those of them that say something of the version: no constraint, and no lock.
    pub errors: usize,
    /// Events at which it trapped, ran out of time or reached a limit.
    pub limits: usize,
    /// Events whose statements and time are told: those that both versions handled, where there are two. (One
    /// that a constraint keeps from being handled twice ends early.)
    pub compared: usize,
    /// Statements an event.
    pub statements: f64,
    /// The time that half of the events took at most, in milliseconds.
    pub p50_ms: f64,
    /// The time that 99 of 100 took at most, in milliseconds.
    pub p99_ms: f64,
}

/// A trial, and what the active version made of the same events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Events that the version was given, all at once and then a few at a time.
    pub events: usize,
    /// Those that went well all at once.
    pub tried: usize,
    /// A few at a time.
    pub new: Option<Measured>,
    /// The active version on the same events, in the same way.
    pub active: Option<Measured>,
}

/// Tries a version, whose tables are there. An error of the inner kind speaks against it.
pub(super) async fn run(
    registry: &Registry,
    plugin: &Arc<Plugin>,
    sql: Arc<PluginSql>,
    canary: &Canary,
) -> Result<(Trial, Result<(), Against>), StoreError> {
    let description = &plugin.description;
    let wanted = trial::wanted(plugin, canary.events);
    let mut events = trial::last_events(registry, &description.event_types, wanted).await?;
    let tried = trial::on_trial(registry, plugin.clone(), sql.clone(), &events).await?;
    let mut trial = Trial { events: events.len(), tried: 0, new: None, active: None };
    match tried.verdict(&description.name) {
        Ok(tried) => trial.tried = tried,
        Err(against) => return Ok((trial, Err(against))),
    }
    let new = trial::as_active(registry, plugin.clone(), sql).await?;
    let active = registry.snapshot().current(&description.name).cloned();
    if let Some(active) = &active {
        events.retain(|event| active.takes(event));
    }
    let mut parts = parts(events.len());
    // Its statements are known to the server then, as those of the other one are.
    for _ in 0..2 {
        let mut after = measure(registry, &new, &events, &mut parts, canary.floor).await?;
        let before = match &active {
            Some(active) => {
                let count = parts.len();
                let mut before =
                    measure(registry, active, &events, &mut parts, canary.floor).await?;
                if parts.len() > count {
                    // What is compared is measured in the same way.
                    after = measure(registry, &new, &events, &mut parts, canary.floor).await?;
                }
                // The same events, where the time was over for one of them.
                let both = after.len().min(before.len());
                before.truncate(both);
                after.truncate(both);
                Some(before)
            }
            None => None,
        };
        trial.new = Measured::of(&after, before.as_deref());
        trial.active = before.and_then(|before| Measured::of(&before, Some(&after)));
        // What is slow by chance is not so again.
        if trial.against(canary).is_none() {
            return Ok((trial, Ok(())));
        }
    }
    let message = trial.against(canary).unwrap_or_default();
    let against = Against { events: trial.events, message };
    Ok((trial, Err(against)))
}

/// How an event went: how long it took, and its statements.
type Went = (Duration, Result<f64, Failure>);

/// So many events in parts: one, two, four, and so on, so that those of a plugin that takes long are few.
fn parts(events: usize) -> Vec<Range<usize>> {
    let (mut parts, mut begin, mut size) = (Vec::new(), 0, 1);
    while begin < events {
        let end = events.min(begin + size);
        parts.push(begin..end);
        (begin, size) = (end, TOGETHER.min(size * 2));
    }
    parts
}

/// Lets a version handle events, part by part, in a transaction that is rolled back. A part of which something is
/// refused, or that takes longer than what can't be slow, is parted into single events.
async fn measure(
    registry: &Registry,
    active: &Active,
    events: &[Event],
    parts: &mut Vec<Range<usize>>,
    floor: Duration,
) -> Result<Vec<Went>, StoreError> {
    let (begun, mut all, mut at) = (Instant::now(), Vec::new(), 0);
    if events.is_empty() {
        return Ok(all);
    }
    let mut tx = Tx::begin(registry.pool(), active.plugin.limits().batch).await?;
    let log = Answers::on_trial(registry);
    while let Some(part) = parts.get(at).cloned() {
        if begun.elapsed() > TIME {
            break;
        }
        tx.savepoint(SAVEPOINT).await?;
        let start = Instant::now();
        let Active { plugin, sql, config, .. } = active;
        let together = &events[part.clone()];
        let (back, done) = plugin.handle_with(tx, sql, together, config, Beyond::log(&log)).await;
        let (took, count) = (start.elapsed(), together.len());
        // That says nothing of the version.
        let Some(back) = back else { return Err(sqlx::Error::WorkerCrashed.into()) };
        tx = back;
        let apart = count > 1 && (done.is_err() || took > floor) && begun.elapsed() <= TIME;
        if done.is_err() || apart {
            tx.rollback_to(SAVEPOINT).await?;
        }
        tx.release(SAVEPOINT).await?;
        if apart {
            parts.splice(at..=at, part.map(|event| event..event + 1));
            continue;
        }
        at += 1;
        match done {
            Ok(stats) => {
                let share = stats.statements as f64 / count as f64;
                let went = || (took / count as u32, Ok(share));
                all.extend(std::iter::repeat_with(went).take(count));
            }
            // Of several, where there is no time to find which one it was.
            Err(failure) => all.push((took, Err(failure))),
        }
    }
    tx.rollback().await?;
    Ok(all)
}

impl Measured {
    /// What a version made of events, beside another one that was given the same. Nothing where there were none.
    fn of(all: &[Went], other: Option<&[Went]>) -> Option<Self> {
        if all.is_empty() {
            return None;
        }
        let went_well = |went: &&Went| went.1.is_ok();
        let refused: Vec<&Failure> =
            all.iter().filter_map(|(_, went)| went.as_ref().err()).collect();
        let says_something = |failure: &&&Failure| {
            failure.kind != FailureKind::Retry
                && failure.sqlstate.as_ref().is_none_or(|state| !state.starts_with("23"))
        };
        let both = all.iter().enumerate().filter(|(index, went)| {
            let by_the_other = other.map(|other| other.get(*index).is_some_and(|w| w.1.is_ok()));
            went_well(went) && by_the_other.unwrap_or(true)
        });
        let both: Vec<&Went> = both.map(|(_, went)| went).collect();
        let mut times: Vec<Duration> = both.iter().map(|(took, _)| *took).collect();
        times.sort_unstable();
        let at = |part: usize| {
            let index = (times.len() * part).div_ceil(100).saturating_sub(1);
            times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        let statements: f64 = both.iter().filter_map(|(_, went)| went.as_ref().ok()).sum();
        Some(Self {
            handled: all.len() - refused.len(),
            refused: refused.len(),
            errors: refused.iter().filter(says_something).count(),
            limits: refused.iter().filter(|failure| failure.costly || failure.trapped).count(),
            compared: both.len(),
            statements: statements / both.len().max(1) as f64,
            p50_ms: at(50),
            p99_ms: at(99),
        })
    }
}

impl Trial {
    /// In what the version is worse than the active one, by more than it may be.
    fn against(&self, canary: &Canary) -> Option<String> {
        let (new, active) = (self.new.as_ref()?, self.active.as_ref()?);
        if new.limits > active.limits {
            return Some(format!(
                "it trapped or reached a limit at {} events, and the active version at {}",
                new.limits, active.limits
            ));
        }
        let more = new.errors.saturating_sub(active.errors);
        if more as f64 > canary.errors * (new.handled + new.refused) as f64 {
            return Some(format!(
                "it refused {} events, and the active version {} of the same ones (runner.canary_errors)",
                new.errors, active.errors
            ));
        }
        let floor = canary.floor.as_secs_f64() * 1000.0;
        for (part, enough, new_ms, active_ms) in [
            ("half", ENOUGH, new.p50_ms, active.p50_ms),
            ("99 of 100", MANY, new.p99_ms, active.p99_ms),
        ] {
            let is_slow = new_ms > floor && new_ms > active_ms * canary.slower;
            if canary.slower > 0.0 && new.compared >= enough && is_slow {
                return Some(format!(
                    "{part} of the events took it up to {new_ms:.1} ms each, and the active version \
                     {active_ms:.1} ms: more than {} times as long (runner.canary_slower)",
                    canary.slower
                ));
            }
        }
        let most = (active.statements * canary.statements).max(active.statements + STATEMENTS);
        if canary.statements > 0.0 && new.compared >= ENOUGH && new.statements > most {
            return Some(format!(
                "it ran {:.1} statements an event, and the active version {:.1} \
                 (runner.canary_statements)",
                new.statements, active.statements
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(p50_ms: f64, statements: f64) -> Measured {
        Measured {
            handled: 100,
            refused: 0,
            errors: 0,
            limits: 0,
            compared: 100,
            statements,
            p50_ms,
            p99_ms: p50_ms,
        }
    }

    fn against(new: Measured, active: Measured) -> Option<String> {
        let trial = Trial { events: 100, tried: 100, new: Some(new), active: Some(active) };
        trial.against(&Canary::default())
    }

    #[test]
    fn only_what_is_much_worse_and_slow_at_all_speaks_against_a_version() {
        let floor = Canary::default().floor.as_secs_f64() * 1000.0;
        assert_eq!(against(measured(floor, 1.0), measured(floor / 100.0, 1.0)), None);
        assert_eq!(against(measured(floor * 2.0, 1.0), measured(floor, 1.0)), None);
        let slow = against(measured(floor * 4.0, 1.0), measured(floor, 1.0)).unwrap();
        assert!(slow.contains("canary_slower"), "{slow}");
        assert_eq!(against(measured(1.0, STATEMENTS), measured(1.0, 0.1)), None);
        let many = against(measured(1.0, 200.0), measured(1.0, 2.0)).unwrap();
        assert!(many.contains("200.0 statements"), "{many}");
        let wrong = Measured { errors: 20, refused: 20, handled: 80, ..measured(1.0, 1.0) };
        let errors = against(wrong.clone(), measured(1.0, 1.0)).unwrap();
        assert!(errors.contains("refused 20 events"), "{errors}");
        assert_eq!(against(wrong.clone(), wrong), None);
        let stopped = Measured { limits: 1, ..measured(1.0, 1.0) };
        assert!(against(stopped.clone(), measured(1.0, 1.0)).unwrap().contains("limit"));
        assert_eq!(against(stopped.clone(), stopped), None);
    }

    #[test]
    fn parts_grow_and_hold_each_event_once() {
        let all = parts(100);
        assert_eq!(all.iter().map(Range::len).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 20, 20, 20, 9]);
        assert!(all.iter().cloned().flatten().eq(0..100));
        assert!(parts(0).is_empty());
    }

    #[test]
    fn a_constraint_that_keeps_an_event_from_being_handled_twice_is_no_error() {
        let twice = Failure {
            sqlstate: Some("23505".to_owned()),
            ..Failure::new(FailureKind::Poison, "duplicate key")
        };
        let wrong = Failure::new(FailureKind::Poison, "no such account");
        let mut all: Vec<Went> = (1..=98).map(|ms| (Duration::from_millis(ms), Ok(2.0))).collect();
        all.extend([(Duration::ZERO, Err(twice)), (Duration::ZERO, Err(wrong))]);
        let measured = Measured::of(&all, None).unwrap();
        assert_eq!((measured.handled, measured.refused, measured.errors), (98, 2, 1));
        assert_eq!((measured.p50_ms, measured.p99_ms, measured.statements), (49.0, 98.0, 2.0));
        // Of what the other one did not handle, no time is compared.
        let other: Vec<Went> = all[50..].to_vec();
        let beside = Measured::of(&all, Some(&other)).unwrap();
        assert_eq!((beside.compared, beside.p99_ms, beside.handled), (48, 48.0, 98));
    }
}
