//! What the delivery was like within the last hour, kept in memory: a page that is opened at night sees how
//! it came to this. It begins anew with the host.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};

use crate::runner::Health;

/// How far back it goes.
const KEPT: TimeDelta = TimeDelta::hours(1);
/// Points of a line of one projection beside those of the others.
const POINTS: usize = 60;
/// Marks of projections that are kept at most, so that thousands of them take no more room than some.
const MARKS: usize = 250_000;

/// How one projection stood.
#[derive(Debug, Clone)]
struct Mark {
    name: Arc<str>,
    behind: i64,
    lag: f64,
    position: Option<i64>,
    /// It is fed by the outbox.
    of_outbox: bool,
}

/// How everything stood at a time.
#[derive(Debug, Clone)]
struct Look {
    at: DateTime<Utc>,
    /// Counted since ever: appends, positions of the log, rows that left the outbox.
    counted: [i64; 3],
    outbox: i64,
    oldest: f64,
    dead_letters: i64,
    marks: Vec<Mark>,
}

/// The looks of the last hour, oldest first.
#[derive(Debug, Default)]
pub(super) struct History(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    looks: VecDeque<Look>,
    last: Option<Arc<Health>>,
}

/// What grew, a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) appends: f64,
    pub(super) events: f64,
    pub(super) deliveries: f64,
}

/// A line of each number, with the times at which it was looked.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) at: Vec<DateTime<Utc>>,
    pub(super) rates: Vec<Rates>,
    pub(super) outbox: Vec<i64>,
    pub(super) oldest: Vec<f64>,
    pub(super) dead_letters: Vec<i64>,
}

/// A line of each number of one projection.
#[derive(Debug, Default)]
pub(super) struct OwnLines {
    pub(super) at: Vec<DateTime<Utc>>,
    pub(super) behind: Vec<i64>,
    pub(super) lag: Vec<f64>,
    pub(super) rate: Vec<f64>,
}

impl History {
    /// Keeps a look: appends ever made, the end of the log, and the rest.
    pub(super) fn note(&self, at: DateTime<Utc>, appends: i64, end: i64, health: Health) {
        let marks = health.projections.iter().map(|projection| Mark {
            name: projection.name.as_str().into(),
            behind: projection.behind,
            lag: projection.lag_seconds.unwrap_or_default(),
            position: projection.position,
            of_outbox: projection.mode == "async",
        });
        let look = Look {
            at,
            counted: [appends, end, health.outbox.delivered],
            outbox: health.outbox.rows,
            oldest: health.outbox.oldest_seconds.unwrap_or_default(),
            dead_letters: health.outbox.projections.iter().map(|one| one.dead_letters).sum(),
            marks: marks.collect(),
        };
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let most = MARKS / look.marks.len().max(1);
        kept.looks.push_back(look);
        while kept.looks.len() > most.max(2)
            || kept.looks.front().is_some_and(|first| at - first.at > KEPT)
        {
            kept.looks.pop_front();
        }
        kept.last = Some(Arc::new(health));
    }

    /// The last look, when it was, and what grew since the one before.
    pub(super) fn last(&self) -> Option<(DateTime<Utc>, Arc<Health>, Option<Rates>)> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let looks = &kept.looks;
        let before = looks.len().checked_sub(2).and_then(|at| looks.get(at));
        let now = looks.back()?;
        Some((now.at, kept.last.clone()?, before.map(|before| rates(before, now))))
    }

    /// The lines of the whole.
    pub(super) fn lines(&self) -> Lines {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Lines::default();
        for (before, now) in kept.looks.iter().zip(kept.looks.iter().skip(1)) {
            lines.at.push(now.at);
            lines.rates.push(rates(before, now));
            lines.outbox.push(now.outbox);
            lines.oldest.push(now.oldest);
            lines.dead_letters.push(now.dead_letters);
        }
        lines
    }

    /// The lines of one projection.
    pub(super) fn of(&self, name: &str) -> OwnLines {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut lines = OwnLines::default();
        let mut before: Option<(&Look, Option<i64>)> = None;
        for look in &kept.looks {
            let Some(mark) = mark(look, name) else {
                before = None;
                continue;
            };
            // Nothing is known of how fast it was before the first look.
            let rate = before.map_or(0.0, |(earlier, position)| {
                let moved = match (position, mark.position) {
                    (Some(before), Some(now)) => now - before,
                    _ if mark.of_outbox => look.counted[2] - earlier.counted[2],
                    _ => 0,
                };
                a_second(moved, earlier, look)
            });
            lines.at.push(look.at);
            lines.behind.push(mark.behind);
            lines.lag.push(mark.lag);
            lines.rate.push(rate);
            before = Some((look, mark.position));
        }
        lines
    }

    /// For each projection how far it was behind, the oldest first: the worst of each of some sixty parts of
    /// the time.
    pub(super) fn behind(&self) -> Vec<(String, Vec<i64>)> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = kept.looks.back() else { return Vec::new() };
        let part = kept.looks.len().div_ceil(POINTS).max(1);
        let looks: Vec<&Look> = kept.looks.iter().collect();
        let line = |name: &str| {
            let worst = |looks: &[&Look]| {
                looks.iter().filter_map(|look| mark(look, name)).map(|mark| mark.behind).max()
            };
            looks.chunks(part).map(|looks| worst(looks).unwrap_or_default()).collect()
        };
        last.marks.iter().map(|mark| (mark.name.to_string(), line(&mark.name))).collect()
    }
}

/// Projections come in the order of their names.
fn mark<'a>(look: &'a Look, name: &str) -> Option<&'a Mark> {
    let found = look.marks.binary_search_by(|mark| mark.name.as_ref().cmp(name));
    found.ok().map(|at| &look.marks[at])
}

fn a_second(grown: i64, before: &Look, now: &Look) -> f64 {
    let seconds = (now.at - before.at).as_seconds_f64();
    // What the server counts can begin anew, and a reset goes back.
    if seconds > 0.0 { grown.max(0) as f64 / seconds } else { 0.0 }
}

fn rates(before: &Look, now: &Look) -> Rates {
    let grown = |at: usize| now.counted[at] - before.counted[at];
    let moved = now.marks.iter().filter_map(|mark_now| {
        let earlier = mark(before, &mark_now.name)?.position?;
        Some((mark_now.position? - earlier).max(0))
    });
    Rates {
        appends: a_second(grown(0), before, now),
        events: a_second(grown(1), before, now),
        deliveries: a_second(grown(2).max(0) + moved.sum::<i64>(), before, now),
    }
}
