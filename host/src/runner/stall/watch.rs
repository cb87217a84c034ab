//! Since when each thing has stood where it stands: a value, without a database.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A stall is told again after twice the time, and so on up to this.
const SELDOM: Duration = Duration::from_secs(3600);

/// Where something stands.
pub(super) struct Place {
    pub what: String,
    /// Changes whenever it does something.
    pub at: String,
    /// There is something to do.
    pub has_work: bool,
    /// Why it can't do anything, where it says so itself.
    pub why: Option<String>,
    pub paused: bool,
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It stands still, for the first time or still.
    Stands(String),
    /// It does not any more, after this time.
    Moves(String, Duration),
}

/// Since when each thing that has work has stood where it stands.
pub(super) struct Watch {
    after: Duration,
    seen: BTreeMap<String, Seen>,
}

struct Seen {
    at: String,
    since: Instant,
    /// When it is told next: first after the time that makes it a stall.
    tell: Duration,
    told: bool,
}

impl Watch {
    pub(super) fn new(after: Duration) -> Self {
        Self { after, seen: BTreeMap::new() }
    }

    /// Takes in where everything stands now.
    pub(super) fn look(&mut self, places: &[Place], now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut before = std::mem::take(&mut self.seen);
        for place in places.iter().filter(|place| place.has_work) {
            let same = before.get(&place.what).is_some_and(|seen| seen.at == place.at);
            let mut seen = match before.remove(&place.what) {
                Some(seen) if same => seen,
                moved => {
                    if let Some(moved) = moved.filter(|seen| seen.told) {
                        changes.push(Change::Moves(place.what.clone(), now - moved.since));
                    }
                    Seen { at: place.at.clone(), since: now, tell: self.after, told: false }
                }
            };
            if now - seen.since >= seen.tell {
                seen.told = true;
                let still = now - seen.since;
                while seen.tell <= still {
                    seen.tell += seen.tell.min(SELDOM);
                }
                changes.push(Change::Stands(place.what.clone()));
            }
            self.seen.insert(place.what.clone(), seen);
        }
        // What is left has no work any more, or is gone.
        for (what, seen) in before.into_iter().filter(|(_, seen)| seen.told) {
            changes.push(Change::Moves(what, now - seen.since));
        }
        changes
    }

    /// What stands still, and for how long.
    pub(super) fn still(&self, now: Instant) -> Vec<(String, Duration)> {
        let still = self.seen.iter().map(|(what, seen)| (what.clone(), now - seen.since));
        still.filter(|(_, time)| *time >= self.after).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Test {
        watch: Watch,
        start: Instant,
    }

    impl Test {
        fn new() -> Self {
            Self { watch: Watch::new(Duration::from_secs(30)), start: Instant::now() }
        }

        fn at(&mut self, second: u64, at: i64, has_work: bool) -> Vec<Change> {
            let place = Place {
                what: "owners".to_owned(),
                at: at.to_string(),
                has_work,
                why: None,
                paused: false,
            };
            self.watch.look(&[place], self.start + Duration::from_secs(second))
        }
    }

    fn stands() -> Vec<Change> {
        vec![Change::Stands("owners".to_owned())]
    }

    fn moves(seconds: u64) -> Vec<Change> {
        vec![Change::Moves("owners".to_owned(), Duration::from_secs(seconds))]
    }

    #[test]
    fn what_has_work_and_does_none_of_it_stands_still() {
        let mut test = Test::new();
        assert_eq!(test.at(0, 5, true), []);
        assert_eq!(test.at(29, 5, true), []);
        assert_eq!(test.at(30, 5, true), stands());
        assert_eq!(test.watch.still(test.start + Duration::from_secs(31)).len(), 1);
        assert_eq!(test.at(31, 6, true), moves(31));
        assert!(test.watch.still(test.start + Duration::from_secs(32)).is_empty());
        assert_eq!(test.at(90, 7, true), [], "it has moved");
        assert_eq!(test.at(200, 7, false), [], "it has nothing to do");
        assert_eq!(test.at(210, 7, true), [], "its work is new");
        assert_eq!(test.at(240, 7, true), stands());
        assert_eq!(test.at(241, 7, false), moves(31));
    }

    #[test]
    fn a_stall_is_told_again_after_times_that_grow() {
        let mut test = Test::new();
        let told = |test: &mut Test, until: u64| -> Vec<u64> {
            (0..=until).filter(|second| !test.at(*second, 5, true).is_empty()).collect()
        };
        assert_eq!(told(&mut test, 500), [30, 60, 120, 240, 480]);
        // A look that comes late tells once.
        assert_eq!(test.at(10_000, 5, true), stands());
        assert_eq!(test.at(10_001, 5, true), []);
        let hours: Vec<u64> =
            (10_002..30_000).filter(|second| !test.at(*second, 5, true).is_empty()).collect();
        assert!(hours.windows(2).all(|two| two[1] - two[0] == 3600), "{hours:?}");
    }
}
