//! What plugins cost: counted for each call of `handle`, and parted among the types of its events.

mod estimate;
mod kept;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::instance::HandleStats;
use crate::event::Event;
use estimate::{MEASURES, Model};

pub use estimate::OTHER;
pub use kept::{ProjectionCost, costs};

/// What calls of `handle` have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Events that were handled. One that failed and was handled later counts once.
    pub events: u64,
    /// Calls of `handle`, each with a batch of events.
    pub calls: u64,
    /// Those of them that failed. What they took counts in the following.
    pub failed_calls: u64,
    /// Microseconds in the plugin itself, the start of its instance included.
    pub wasm_us: u64,
    /// Microseconds that it waited for SQL.
    pub sql_us: u64,
    /// Statements, each call of an `execute-batch` counted.
    pub statements: u64,
    /// Rows that its queries returned.
    pub rows_read: u64,
    /// Rows that its statements wrote.
    pub rows_written: u64,
    /// Bytes of the payloads that it was given, and of the statements and parameters that it ran.
    pub bytes: u64,
}

/// What an event of one type costs: from the calls that went well, of late.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TypeCost {
    /// The type; [`OTHER`] stands for all beyond some thirty.
    pub event_type: String,
    /// How many were handled.
    pub events: u64,
    /// It was never in a batch with events of another type: what follows is an average, and no estimate.
    pub exact: bool,
    /// Microseconds in the plugin itself.
    pub wasm_us: f64,
    /// By how much that may be wrong, 19 times out of 20.
    pub wasm_margin_us: f64,
    /// Microseconds of SQL.
    pub sql_us: f64,
    /// By how much that may be wrong.
    pub sql_margin_us: f64,
    /// Statements.
    pub statements: f64,
    /// Rows that were read.
    pub rows_read: f64,
    /// Rows that were written.
    pub rows_written: f64,
    /// Bytes.
    pub bytes: f64,
}

impl Cost {
    /// Adds what others have cost.
    pub fn add(&mut self, other: &Self) {
        let Self {
            events,
            calls,
            failed_calls,
            wasm_us,
            sql_us,
            statements,
            rows_read,
            rows_written,
            bytes,
        } = other;
        self.events += events;
        self.calls += calls;
        self.failed_calls += failed_calls;
        self.wasm_us += wasm_us;
        self.sql_us += sql_us;
        self.statements += statements;
        self.rows_read += rows_read;
        self.rows_written += rows_written;
        self.bytes += bytes;
    }

    /// Microseconds that an event took on average, in the plugin and in SQL.
    pub fn us_an_event(&self) -> Option<f64> {
        let took = (self.wasm_us + self.sql_us) as f64;
        (self.events > 0).then(|| took / self.events as f64)
    }
}

/// Counts what one version of a projection costs this host.
#[derive(Debug, Default)]
pub struct Meter {
    version: String,
    /// What the versions before it had cost this process.
    before: Cost,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    cost: Cost,
    model: Model,
    /// Calls when it was last written down.
    kept: u64,
}

impl Meter {
    /// Counts a call of `handle`.
    pub(super) fn note(&self, events: &[Event], stats: &HandleStats, went_well: bool) {
        let micros = |time: Duration| time.as_micros() as u64;
        let payloads: usize = events.iter().map(|event| event.payload.get().len()).sum();
        let call = Cost {
            events: if went_well { events.len() as u64 } else { 0 },
            calls: 1,
            failed_calls: u64::from(!went_well),
            wasm_us: micros(stats.wasm),
            sql_us: micros(stats.sql),
            statements: stats.statements,
            rows_read: stats.rows_read,
            rows_written: stats.rows_written,
            bytes: (payloads + stats.bytes) as u64,
        };
        let mut counted = self.lock();
        counted.cost.add(&call);
        if went_well {
            counted.model.note(events, measures(&call));
        }
    }

    /// What this version costs this host.
    pub fn cost(&self) -> Cost {
        self.lock().cost
    }

    /// What the projection has cost this process, whatever its version.
    pub fn cost_so_far(&self) -> Cost {
        let mut cost = self.before;
        cost.add(&self.cost());
        cost
    }

    /// What events cost, by type.
    pub fn types(&self) -> Vec<TypeCost> {
        // Batches wait for this lock; the estimate takes a while.
        let model = self.lock().model.clone();
        let estimates = model.estimates();
        let types = estimates.into_iter().map(|estimate| {
            let [wasm_us, sql_us, statements, rows_read, rows_written, bytes] = estimate.each;
            let [wasm_margin_us, sql_margin_us, ..] = estimate.margin;
            TypeCost {
                event_type: estimate.name,
                events: estimate.events,
                exact: estimate.exact,
                wasm_us,
                wasm_margin_us,
                sql_us,
                sql_margin_us,
                statements,
                rows_read,
                rows_written,
                bytes,
            }
        });
        types.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn measures(cost: &Cost) -> [f64; MEASURES] {
    let Cost { wasm_us, sql_us, statements, rows_read, rows_written, bytes, .. } = *cost;
    [wasm_us, sql_us, statements, rows_read, rows_written, bytes].map(|number| number as f64)
}

/// What the projections of a host cost.
#[derive(Debug, Default)]
pub struct Costs(Mutex<BTreeMap<String, Arc<Meter>>>);

impl Costs {
    /// What counts for this version of a projection. Another version begins anew.
    pub(super) fn meter(&self, projection: &str, version: &str) -> Arc<Meter> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = meters.get(projection);
        if let Some(meter) = known.filter(|meter| meter.version == version) {
            return meter.clone();
        }
        let before = known.map(|meter| meter.cost_so_far()).unwrap_or_default();
        let meter = Arc::new(Meter { version: version.to_owned(), before, ..Meter::default() });
        meters.insert(projection.to_owned(), meter.clone());
        meter
    }

    /// Those that have counted something.
    pub fn all(&self) -> Vec<(String, Arc<Meter>)> {
        let meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = meters.iter().filter(|(_, meter)| meter.cost_so_far().calls > 0);
        all.map(|(name, meter)| (name.clone(), meter.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_begins_anew_and_the_projection_goes_on() {
        let costs = Costs::default();
        let stats = HandleStats {
            wasm: Duration::from_micros(30),
            sql: Duration::from_micros(70),
            statements: 4,
            rows_written: 3,
            ..HandleStats::default()
        };
        let first = costs.meter("p", "one");
        first.note(&[], &stats, false);
        assert!(Arc::ptr_eq(&first, &costs.meter("p", "one")), "a setting was changed");
        let second = costs.meter("p", "two");
        assert_eq!(second.cost(), Cost::default());
        second.note(&[], &stats, false);
        let so_far = second.cost_so_far();
        assert_eq!((so_far.failed_calls, so_far.sql_us, so_far.statements), (2, 140, 8));
        assert!(second.types().is_empty(), "a call that failed says nothing of its events");
        assert_eq!(costs.all().len(), 1);
    }
}
