//! What a projection has done, and what it should have: two values, compared without a database.

use std::collections::{BTreeSet, HashSet};

use sqlx::FromRow;

use crate::guests::Guest;
use crate::world::World;

/// When it is looked at, always at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// After the nemesis, with every poisoned event as bad as ever.
    Tortured,
    /// After the poison was taken away, and the dead letters were requeued.
    Healed,
}

/// An event of the log.
#[derive(Debug, Clone, FromRow)]
pub struct Logged {
    position: i64,
    stream: String,
    /// Projections that can bury can't handle it.
    bad: bool,
    /// Appended through the library, and so given to the inline plugins.
    by_library: bool,
}

/// What the tables say of one projection.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Positions, one for each time that an event was applied.
    applied: Vec<i64>,
    /// Positions of its dead letters.
    letters: Vec<i64>,
    /// Positions of its retries that wait for an earlier event of their stream.
    held: Vec<i64>,
    /// Positions of its other retries.
    tried: Vec<i64>,
    /// Events that came when others of their stream should have come.
    leaps: i64,
}

/// The log, in its order.
pub async fn log(world: &World) -> anyhow::Result<Vec<Logged>> {
    let sql = "SELECT global_position AS position,
                      concat_ws('/', tenant_id, aggregate_name, aggregate_id) AS stream,
                      payload ->> 'fate' IN ('poison', 'trap') AS bad,
                      payload ->> 'by' = 'library' AS by_library
               FROM eventfabric.events ORDER BY 1";
    world.rows(sql).await
}

impl Outcome {
    /// Reads it.
    pub async fn of(world: &World, guest: Guest) -> anyhow::Result<Self> {
        let name = guest.name;
        let positions = async |sql: String| world.rows::<(i64,)>(&sql).await.map(firsts);
        let retries = "SELECT global_position FROM eventfabric.projection_retries
                       WHERE projection_name =";
        Ok(Self {
            applied: positions(format!("SELECT position FROM {name}.applied")).await?,
            letters: positions(format!(
                "SELECT global_position FROM eventfabric.outbox_dead_letters
                 WHERE projection_name = '{name}'"
            ))
            .await?,
            held: positions(format!("{retries} '{name}' AND held")).await?,
            tried: positions(format!(
                "{retries} '{name}' AND NOT held
                 UNION ALL
                 SELECT unnest(positions) FROM eventfabric.projection_parked
                 WHERE projection_name = '{name}'"
            ))
            .await?,
            leaps: world.number(&format!("SELECT sum(leaps)::bigint FROM {name}.streams")).await?,
        })
    }

    /// How far it is from what it should be, each fault in words.
    pub fn faults(&self, guest: Guest, log: &[Logged], stage: Stage) -> Vec<String> {
        let Wanted { applied, letters, held } = Wanted::of(guest, log, stage);
        let applied = Difference::of(&self.applied, &applied);
        let letters = Difference::of(&self.letters, &letters);
        let held = Difference::of(&self.held, &held);
        let mut faults = Vec::new();
        for (positions, what) in [
            (applied.missing, "events missed"),
            (applied.repeated, "events applied more than once"),
            (applied.foreign, "events applied that are not in the log, or not for it yet"),
            (letters.missing, "dead letters too few"),
            (letters.repeated, "dead letters more than one for an event"),
            (letters.foreign, "dead letters too many"),
            (held.missing, "events behind a dead letter that nobody keeps for later"),
            (held.repeated, "events kept more than once"),
            (held.foreign, "events that wait for nothing"),
            (self.tried.clone(), "events still to be tried"),
        ] {
            if !positions.is_empty() {
                let first = &positions[..positions.len().min(5)];
                faults.push(format!("{}: {} {what}: {first:?}", guest.name, positions.len()));
            }
        }
        // What was set aside comes late, and beside the order of the log.
        let in_order = guest.ordered || stage == Stage::Tortured;
        if in_order && self.leaps != 0 {
            faults.push(format!(
                "{}: {} events out of order in their stream",
                guest.name, self.leaps
            ));
        }
        faults
    }
}

fn firsts(rows: Vec<(i64,)>) -> Vec<i64> {
    rows.into_iter().map(|(position,)| position).collect()
}

/// What a projection must have done: it follows from the log alone.
struct Wanted {
    applied: BTreeSet<i64>,
    letters: BTreeSet<i64>,
    held: BTreeSet<i64>,
}

impl Wanted {
    fn of(guest: Guest, log: &[Logged], stage: Stage) -> Self {
        let (mut applied, mut letters, mut held) = Default::default();
        let mut stopped = HashSet::new();
        for event in log.iter().filter(|event| !guest.inline || event.by_library) {
            // The first bad event of a stream stops that stream where its order is kept, and nothing
            // else does; a bad one behind it is not even tried.
            let what: &mut BTreeSet<i64> = if stopped.contains(event.stream.as_str()) {
                &mut held
            } else if guest.buries && event.bad && stage == Stage::Tortured {
                if guest.ordered {
                    stopped.insert(event.stream.as_str());
                }
                &mut letters
            } else {
                &mut applied
            };
            what.insert(event.position);
        }
        Self { applied, letters, held }
    }
}

/// Positions there are beside those there should be.
struct Difference {
    missing: Vec<i64>,
    repeated: Vec<i64>,
    foreign: Vec<i64>,
}

impl Difference {
    fn of(found: &[i64], wanted: &BTreeSet<i64>) -> Self {
        let mut known = BTreeSet::new();
        let repeated = found.iter().copied().filter(|position| !known.insert(*position)).collect();
        Self {
            missing: wanted.difference(&known).copied().collect(),
            repeated,
            foreign: known.difference(wanted).copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::{ASIDE, ASYNC, CATCH_UP, INLINE, ORDERED};

    /// Two streams; events 3 and 6 of the first one are bad, and 4 was not appended by the library.
    fn a_log() -> Vec<Logged> {
        let event = |position, stream: &str, bad, by_library| Logged {
            position,
            stream: stream.to_owned(),
            bad,
            by_library,
        };
        vec![
            event(1, "a", false, true),
            event(2, "b", false, true),
            event(3, "a", true, true),
            event(4, "b", false, false),
            event(5, "a", false, true),
            event(6, "a", true, true),
            event(7, "b", false, true),
        ]
    }

    fn outcome(applied: &[i64], letters: &[i64], held: &[i64]) -> Outcome {
        Outcome {
            applied: applied.to_vec(),
            letters: letters.to_vec(),
            held: held.to_vec(),
            ..Outcome::default()
        }
    }

    /// What each of them does with it, when all is well.
    fn right() -> [(Guest, Outcome); 5] {
        [
            (CATCH_UP, outcome(&[1, 2, 3, 4, 5, 6, 7], &[], &[])),
            (ASIDE, outcome(&[1, 2, 4, 5, 7], &[3, 6], &[])),
            (ASYNC, outcome(&[7, 5, 4, 2, 1], &[6, 3], &[])),
            (ORDERED, outcome(&[1, 2, 4, 7], &[3], &[5, 6])),
            (INLINE, outcome(&[1, 2, 3, 5, 6, 7], &[], &[])),
        ]
    }

    #[test]
    fn what_is_right_has_no_faults() {
        for (guest, outcome) in right() {
            assert_eq!(outcome.faults(guest, &a_log(), Stage::Tortured), [""; 0], "{guest:?}");
        }
    }

    /// Asserts that there is exactly this fault.
    fn assert_fault(guest: Guest, outcome: &Outcome, stage: Stage, fault: &str) {
        let faults = outcome.faults(guest, &a_log(), stage);
        assert_eq!(faults, [format!("{}: {fault}", guest.name)]);
    }

    #[test]
    fn each_fault_of_each_kind_of_projection_is_seen() {
        for (guest, right) in right() {
            let assert = |change: &dyn Fn(&mut Outcome), fault: &str| {
                let mut wrong = right.clone();
                change(&mut wrong);
                assert_fault(guest, &wrong, Stage::Tortured, fault);
            };
            assert(&|it| it.applied.retain(|n| *n != 2), "1 events missed: [2]");
            assert(&|it| it.applied.push(7), "1 events applied more than once: [7]");
            let foreign = "1 events applied that are not in the log, or not for it yet: [8]";
            assert(&|it| it.applied.push(8), foreign);
            assert(&|it| it.letters.push(1), "1 dead letters too many: [1]");
            assert(&|it| it.held.push(7), "1 events that wait for nothing: [7]");
            assert(&|it| it.tried.push(3), "1 events still to be tried: [3]");
            assert(&|it| it.leaps = 2, "2 events out of order in their stream");
            if guest.buries {
                assert(&|it| it.letters.retain(|n| *n != 3), "1 dead letters too few: [3]");
                assert(&|it| it.letters.push(3), "1 dead letters more than one for an event: [3]");
            }
        }
    }

    #[test]
    fn a_bad_event_that_was_applied_is_seen() {
        for (guest, right) in right().into_iter().filter(|(guest, _)| guest.buries) {
            let mut wrong = right;
            wrong.applied.push(3);
            let fault = "1 events applied that are not in the log, or not for it yet: [3]";
            assert_fault(guest, &wrong, Stage::Tortured, fault);
        }
    }

    #[test]
    fn what_overtakes_a_dead_letter_of_its_stream_is_seen() {
        // Applied though it is kept, too; applied instead; given up instead; and nowhere at all.
        let overtakes = "1 events applied that are not in the log, or not for it yet: [5]";
        let lost = "1 events behind a dead letter that nobody keeps for later: [5]";
        let both = outcome(&[1, 2, 4, 5, 7], &[3], &[5, 6]);
        assert_fault(ORDERED, &both, Stage::Tortured, overtakes);
        let faults = |outcome: Outcome| outcome.faults(ORDERED, &a_log(), Stage::Tortured);
        let named = |fault: &str| format!("torture_ordered: {fault}");
        let instead = outcome(&[1, 2, 4, 5, 7], &[3], &[6]);
        assert_eq!(faults(instead), [named(overtakes), named(lost)]);
        let buried = outcome(&[1, 2, 4, 7], &[3, 6], &[5]);
        let lost_too = "1 events behind a dead letter that nobody keeps for later: [6]";
        assert_eq!(faults(buried), [named("1 dead letters too many: [6]"), named(lost_too)]);
        assert_eq!(faults(outcome(&[1, 2, 4, 7], &[3], &[6])), [named(lost)]);
    }

    #[test]
    fn events_of_another_stream_wait_for_no_dead_letter() {
        let waits = outcome(&[1, 2, 7], &[3], &[4, 5, 6]);
        let faults = waits.faults(ORDERED, &a_log(), Stage::Tortured);
        let missed = "torture_ordered: 1 events missed: [4]";
        assert_eq!(faults, [missed, "torture_ordered: 1 events that wait for nothing: [4]"]);
    }

    #[test]
    fn once_healed_everything_must_be_applied_and_nothing_be_left() {
        let all = [1, 2, 3, 4, 5, 6, 7];
        for guest in [ASIDE, ASYNC, ORDERED] {
            let healed = outcome(&all, &[], &[]);
            assert_eq!(healed.faults(guest, &a_log(), Stage::Healed), [""; 0]);
            let forgotten = outcome(&all[..6], &[], &[]);
            assert_fault(guest, &forgotten, Stage::Healed, "1 events missed: [7]");
            let left = outcome(&all, &[3], &[]);
            assert_fault(guest, &left, Stage::Healed, "1 dead letters too many: [3]");
        }
        let leaps = Outcome { leaps: 1, ..outcome(&all, &[], &[]) };
        assert_fault(ORDERED, &leaps, Stage::Healed, "1 events out of order in their stream");
        assert_eq!(leaps.faults(ASIDE, &a_log(), Stage::Healed), [""; 0], "it came late");
    }
}
