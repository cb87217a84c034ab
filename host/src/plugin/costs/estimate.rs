//! What an event of each type costs, from batches that hold several types: a batch's cost can only be measured as
//! a whole, so what each type has to do with it is an estimate, by least squares.
//!
//! For batches with `n` events, `x` of a type, and a cost `y`, it finds the costs `c` of single events for which the
//! sum of `(y - Σ x·c)² / n` is least. With these weights a type that was always alone gets exactly its average, and
//! the costs of all events together are exactly what was measured. What batches do not tell (two types that always
//! come together) is taken to cost what an event does on average: as a prior belief, a type's cost lies as far from
//! the average as the average is great.

use crate::event::Event;

/// What is measured of a batch.
pub const MEASURES: usize = 6;

/// Types that are told apart, [`OTHER`] included.
const KINDS: usize = 32;

/// What stands for all further types.
pub const OTHER: &str = "(other)";

/// After twice as many batches, what was seen until then counts half.
const WINDOW: f64 = 2048.0;

/// So often the noise is estimated by the costs that were found with the estimate before.
const ROUNDS: usize = 4;

/// Keeps the arithmetic from dividing by nothing.
const FLOOR: f64 = 1e-9;

/// What is known of the costs, as sums over batches.
#[derive(Debug, Default, Clone)]
pub struct Model {
    kinds: Vec<Kind>,
    /// Σ y²/n
    squares: [f64; MEASURES],
    batches: f64,
}

#[derive(Debug, Clone)]
struct Kind {
    name: Box<str>,
    /// All that there were.
    events: u64,
    /// In the batch at hand.
    now: u32,
    /// Σ x·x'/n, with each kind up to itself.
    with: Vec<f64>,
    /// Σ x·y/n
    spent: [f64; MEASURES],
}

/// What an event of a type costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The type, or [`OTHER`].
    pub name: String,
    /// How many there were.
    pub events: u64,
    /// It was never in a batch with another type: an average, and no estimate.
    pub exact: bool,
    /// What one costs.
    pub each: [f64; MEASURES],
    /// Two standard errors of it; 0 where it is exact.
    pub margin: [f64; MEASURES],
}

impl Model {
    /// Counts a batch.
    pub fn note(&mut self, events: &[Event], cost: [f64; MEASURES]) {
        if self.batches >= 2.0 * WINDOW {
            self.fade();
        }
        for event in events {
            let at = self.kind(&event.event_type);
            self.kinds[at].now += 1;
        }
        let whole = events.len() as f64;
        for at in 0..self.kinds.len() {
            let (before, rest) = self.kinds.split_at_mut(at);
            let kind = &mut rest[0];
            if kind.now == 0 {
                continue;
            }
            let share = f64::from(kind.now) / whole;
            for (sum, other) in kind.with.iter_mut().zip(before.iter()) {
                *sum += share * f64::from(other.now);
            }
            kind.with[at] += share * f64::from(kind.now);
            for (sum, cost) in kind.spent.iter_mut().zip(cost) {
                *sum += share * cost;
            }
        }
        for kind in &mut self.kinds {
            kind.events += u64::from(std::mem::take(&mut kind.now));
        }
        for (sum, cost) in self.squares.iter_mut().zip(cost) {
            *sum += cost * cost / whole;
        }
        self.batches += 1.0;
    }

    fn kind(&mut self, name: &str) -> usize {
        let find = |kinds: &[Kind], name: &str| kinds.iter().position(|kind| *kind.name == *name);
        if let Some(at) = find(&self.kinds, name) {
            return at;
        }
        let full = self.kinds.len() + 1 >= KINDS;
        if full && let Some(at) = find(&self.kinds, OTHER) {
            return at;
        }
        let (name, with) = (if full { OTHER } else { name }, vec![0.0; self.kinds.len() + 1]);
        let (name, spent) = (name.into(), [0.0; MEASURES]);
        self.kinds.push(Kind { name, events: 0, now: 0, with, spent });
        self.kinds.len() - 1
    }

    fn fade(&mut self) {
        let half = |sum: &mut f64| *sum /= 2.0;
        for kind in &mut self.kinds {
            kind.with.iter_mut().chain(&mut kind.spent).for_each(half);
        }
        self.squares.iter_mut().for_each(half);
        half(&mut self.batches);
    }

    /// What an event of each type costs.
    pub fn estimates(&self) -> Vec<Estimate> {
        let count = self.kinds.len();
        let pairs = |a: usize, b: usize| self.kinds[a.max(b)].with[a.min(b)];
        let exact: Vec<bool> =
            (0..count).map(|a| (0..count).all(|b| a == b || pairs(a, b) == 0.0)).collect();
        let mut all: Vec<Estimate> = self
            .kinds
            .iter()
            .zip(&exact)
            .map(|(kind, exact)| Estimate {
                name: kind.name.to_string(),
                events: kind.events,
                exact: *exact,
                each: [0.0; MEASURES],
                margin: [0.0; MEASURES],
            })
            .collect();
        for measure in 0..MEASURES {
            let spent: Vec<f64> = self.kinds.iter().map(|kind| kind.spent[measure]).collect();
            let sums = Sums { pairs: &pairs, exact: &exact, spent: &spent };
            for (at, (each, margin)) in
                sums.solve(self.squares[measure], self.batches).into_iter().enumerate()
            {
                (all[at].each[measure], all[at].margin[measure]) = (each, margin);
            }
        }
        all
    }
}

/// The sums of one measure.
struct Sums<'a, F> {
    pairs: &'a F,
    exact: &'a [bool],
    spent: &'a [f64],
}

impl<F: Fn(usize, usize) -> f64> Sums<'_, F> {
    /// What one event of each kind costs, and how far that may be wrong.
    fn solve(&self, squares: f64, batches: f64) -> Vec<(f64, f64)> {
        let count = self.spent.len();
        let events: Vec<f64> =
            (0..count).map(|a| (0..count).map(|b| (self.pairs)(a, b)).sum()).collect();
        let whole: f64 = self.spent.iter().sum();
        let mean = whole / events.iter().sum::<f64>();
        if whole <= 0.0 {
            return vec![(0.0, 0.0); count];
        }
        // How much batches differ from what the costs of their events say: at first as if all cost the same.
        let mut noise = (squares - mean * whole).max(0.0) / batches;
        let mut fitted = self.fit(mean, noise);
        let rounds = if batches > 2.0 * count as f64 { ROUNDS } else { 0 };
        for _ in 0..rounds {
            noise = self.rest(&fitted.0, squares).max(0.0) / (batches - count as f64);
            fitted = self.fit(mean, noise);
        }
        let (mut each, unsure) = fitted;
        each.iter_mut().for_each(|cost| *cost = cost.max(0.0));
        // Where something was cut off at 0, the others have that much less.
        let of_others = |costs: &[f64]| -> f64 {
            (0..count).filter(|at| !self.exact[*at]).map(|at| costs[at]).sum()
        };
        let told: Vec<f64> = each.iter().zip(&events).map(|(cost, n)| cost * n).collect();
        let (told, spent) = (of_others(&told), of_others(self.spent));
        let scale = if told > 0.0 { spent / told } else { 1.0 };
        (0..count)
            .map(|at| match self.exact[at] {
                true => (each[at], 0.0),
                false => (each[at] * scale, 2.0 * (noise * unsure[at]).sqrt()),
            })
            .collect()
    }

    /// The costs for which the rest is least, given how much noise there is, and how unsure each is, in units of
    /// the noise.
    fn fit(&self, mean: f64, noise: f64) -> (Vec<f64>, Vec<f64>) {
        let count = self.spent.len();
        let belief = noise / (mean * mean);
        let mut matrix = vec![0.0; count * count];
        for row in 0..count {
            for column in 0..count {
                matrix[row * count + column] = (self.pairs)(row, column);
            }
            let own = (self.pairs)(row, row);
            matrix[row * count + row] +=
                if self.exact[row] { FLOOR } else { belief + own * FLOOR + FLOOR };
        }
        invert(&mut matrix, count);
        let beside: Vec<f64> = (0..count)
            .map(|a| {
                let on_average: f64 = (0..count).map(|b| (self.pairs)(a, b) * mean).sum();
                self.spent[a] - on_average
            })
            .collect();
        let costs = matrix.chunks(count).enumerate().map(|(at, row)| {
            let own = (self.pairs)(at, at);
            if self.exact[at] && own > 0.0 {
                return self.spent[at] / own;
            }
            mean + row.iter().zip(&beside).map(|(part, beside)| part * beside).sum::<f64>()
        });
        (costs.collect(), (0..count).map(|at| matrix[at * count + at].max(0.0)).collect())
    }

    /// Σ (y - Σ x·c)²/n
    fn rest(&self, costs: &[f64], squares: f64) -> f64 {
        let count = costs.len();
        let told: f64 = costs.iter().zip(self.spent).map(|(cost, spent)| cost * spent).sum();
        let all = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        let both: f64 = all.map(|(a, b)| costs[a] * costs[b] * (self.pairs)(a, b)).sum();
        squares - 2.0 * told + both
    }
}

/// Inverts a matrix that is symmetric and positive definite: Gauss and Jordan, which needs no pivots there.
fn invert(matrix: &mut [f64], count: usize) {
    for pivot in 0..count {
        let scale = 1.0 / matrix[pivot * count + pivot];
        matrix[pivot * count + pivot] = 1.0;
        for column in 0..count {
            matrix[pivot * count + column] *= scale;
        }
        for row in (0..count).filter(|row| *row != pivot) {
            let factor = std::mem::take(&mut matrix[row * count + pivot]);
            for column in 0..count {
                matrix[row * count + column] -= factor * matrix[pivot * count + column];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::event::StreamId;

    fn events(batch: &[(&str, usize)]) -> Vec<Event> {
        let event = |event_type: &str| Event {
            position: 1,
            id: uuid::Uuid::nil(),
            stream: StreamId::new("Thing", "1"),
            version: 1,
            event_type: event_type.to_owned(),
            schema_version: 1,
            payload: RawValue::from_string("{}".to_owned()).unwrap(),
            occurred_at: chrono::DateTime::UNIX_EPOCH,
            correlation_id: None,
            causation_id: None,
            dismissed_at: None,
            topic: None,
            trace: None,
        };
        let all = batch.iter().flat_map(|(name, count)| vec![event(name); *count]);
        all.collect()
    }

    /// The same numbers each time, evenly between 0 and 1.
    struct Chance(u64);

    impl Chance {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }

        /// Around 0, with a variance of 1.
        fn noise(&mut self) -> f64 {
            (0..12).map(|_| self.next()).sum::<f64>() - 6.0
        }

        fn binomial(&mut self, of: usize, share: f64) -> usize {
            (0..of).filter(|_| self.next() < share).count()
        }
    }

    fn cost(first: f64) -> [f64; MEASURES] {
        let mut cost = [0.0; MEASURES];
        cost[0] = first;
        cost
    }

    fn of<'a>(all: &'a [Estimate], name: &str) -> &'a Estimate {
        all.iter().find(|one| one.name == name).unwrap()
    }

    fn near(found: f64, wanted: f64, by: f64) {
        assert!((found - wanted).abs() <= by, "{found}, and not {wanted}");
    }

    #[test]
    fn types_that_are_alone_in_their_batches_have_their_averages() {
        let mut model = Model::default();
        model.note(&events(&[("Cheap", 1)]), cost(3.0));
        model.note(&events(&[("Cheap", 9)]), cost(7.0));
        model.note(&events(&[("Dear", 2)]), cost(200.0));
        let all = model.estimates();
        for (name, events, each) in [("Cheap", 10, 1.0), ("Dear", 2, 100.0)] {
            let one = of(&all, name);
            assert_eq!((one.events, one.exact, one.margin[0]), (events, true, 0.0));
            near(one.each[0], each, 1e-6);
        }
    }

    #[test]
    fn the_average_of_a_type_that_has_not_come_for_long_stays_its_own() {
        let (cheap, dear) = (events(&[("Cheap", 500)]), events(&[("Dear", 1)]));
        let mut model = Model::default();
        for _ in 0..100 {
            model.note(&cheap, cost(5000.0));
        }
        for _ in 0..150_000 {
            model.note(&dear, cost(1000.0));
        }
        let all = model.estimates();
        near(of(&all, "Cheap").each[0], 10.0, 0.1);
        near(of(&all, "Dear").each[0], 1000.0, 0.1);
    }

    #[test]
    fn a_dear_type_is_found_in_mixed_batches_within_its_margin() {
        let mut chance = Chance(7);
        let mut model = Model::default();
        let mut whole = 0.0;
        for _ in 0..2000 {
            let dear = chance.binomial(500, 0.1);
            let middle = chance.binomial(500 - dear, 0.3);
            let cheap = 500 - dear - middle;
            let took = 100.0 * dear as f64 + 20.0 * middle as f64 + 5.0 * cheap as f64;
            let took = took * (1.0 + 0.05 * chance.noise());
            whole += took;
            let mut cost = cost(took);
            // Without any noise.
            cost[1] = (7 * dear + middle) as f64;
            model.note(&events(&[("Dear", dear), ("Middle", middle), ("Cheap", cheap)]), cost);
        }
        let all = model.estimates();
        for (name, each) in [("Dear", 100.0), ("Middle", 20.0), ("Cheap", 5.0)] {
            let one = of(&all, name);
            assert!(!one.exact && one.margin[0] < 15.0, "{one:?}");
            near(one.each[0], each, 1.5 * one.margin[0]);
        }
        for (name, each) in [("Dear", 7.0), ("Middle", 1.0), ("Cheap", 0.0)] {
            near(of(&all, name).each[1], each, 0.01);
        }
        // And together they cost what was measured.
        let told: f64 = all.iter().map(|one| one.each[0] * one.events as f64).sum();
        near(told / whole, 1.0, 1e-3);
    }

    #[test]
    fn types_that_always_come_together_cost_the_same_and_are_said_to_be_unsure() {
        let mut chance = Chance(11);
        let mut model = Model::default();
        for round in 0..200 {
            let pairs = 100 + round % 7;
            let took = 20.0 * pairs as f64 * (1.0 + 0.1 * chance.noise());
            // Now and then a batch is cut between the two, which says next to nothing.
            let more = usize::from(round % 10 == 0);
            model.note(&events(&[("Begun", pairs + more), ("Ended", pairs)]), cost(took));
        }
        let all = model.estimates();
        for name in ["Begun", "Ended"] {
            let one = of(&all, name);
            near(one.each[0], 10.0, 5.0);
            assert!(one.margin[0] > 5.0, "{one:?}");
        }
    }

    #[test]
    fn what_costs_nothing_is_never_less() {
        let mut chance = Chance(3);
        let mut model = Model::default();
        for _ in 0..300 {
            let dear = chance.binomial(50, 0.5);
            let took = 10.0 * dear as f64 + chance.noise();
            model.note(&events(&[("Dear", dear), ("Free", 50 - dear)]), cost(took));
        }
        let all = model.estimates();
        assert!(of(&all, "Free").each[0] >= 0.0);
        near(of(&all, "Free").each[0], 0.0, 0.1);
        near(of(&all, "Dear").each[0], 10.0, 0.1);
    }

    #[test]
    fn what_changes_is_followed() {
        let mut model = Model::default();
        let rounds = 2 * WINDOW as usize;
        for each in [1.0, 9.0] {
            for round in 0..4 * rounds {
                let (a, b) = (1 + round % 5, 1 + round % 3);
                model.note(&events(&[("A", a), ("B", b)]), cost(a as f64 * each + b as f64));
            }
        }
        near(of(&model.estimates(), "A").each[0], 9.0, 0.5);
    }

    #[test]
    fn there_are_so_many_types_and_the_rest_together() {
        let mut model = Model::default();
        let names: Vec<String> = (0..100).map(|n| format!("Type{n}")).collect();
        for name in &names {
            model.note(&events(&[(name, 2)]), cost(10.0));
        }
        let all = model.estimates();
        assert_eq!(all.len(), KINDS);
        let other = of(&all, OTHER);
        assert_eq!(other.events, 2 * (names.len() - (KINDS - 1)) as u64);
        near(other.each[0], 5.0, 1e-6);
    }
}
