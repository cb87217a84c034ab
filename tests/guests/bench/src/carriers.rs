//! Flights of each carrier by outcome: few rows, each hot.

use std::collections::BTreeMap;

use eventfabric_sdk::{Value, params};

use crate::Flight;

/// Adds to the sums of a carrier.
pub const UPSERT: &str = "
    INSERT INTO carriers AS c (carrier, departed, arrived, diverted, cancelled, arr_delay_minutes)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (carrier) DO UPDATE SET
        departed = c.departed + EXCLUDED.departed,
        arrived = c.arrived + EXCLUDED.arrived,
        diverted = c.diverted + EXCLUDED.diverted,
        cancelled = c.cancelled + EXCLUDED.cancelled,
        arr_delay_minutes = c.arr_delay_minutes + EXCLUDED.arr_delay_minutes";

/// What some flights add to their carrier.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sums {
    /// Took off.
    pub departed: i64,
    /// Landed.
    pub arrived: i64,
    /// Landed elsewhere.
    pub diverted: i64,
    /// Did not take off.
    pub cancelled: i64,
    /// Minutes late, in sum.
    pub arr_delay_minutes: i64,
}

impl Sums {
    /// The parameters of [`UPSERT`].
    pub fn params(&self, carrier: &str) -> Vec<Value> {
        params![
            carrier,
            self.departed,
            self.arrived,
            self.diverted,
            self.cancelled,
            self.arr_delay_minutes
        ]
    }

    fn add(&mut self, flight: &Flight) {
        match flight {
            Flight::FlightDeparted { .. } => self.departed += 1,
            Flight::FlightArrived { arr_delay, .. } => {
                self.arrived += 1;
                self.arr_delay_minutes += arr_delay;
            }
            Flight::FlightDiverted { .. } => self.diverted += 1,
            Flight::FlightCancelled { .. } => self.cancelled += 1,
        }
    }
}

/// The parameters of [`UPSERT`] for one flight.
pub fn params(flight: &Flight) -> Vec<Value> {
    let (carrier, sums) = one(flight);
    sums.params(carrier)
}

/// What one flight adds, and to whom.
pub fn one(flight: &Flight) -> (&str, Sums) {
    let mut sums = Sums::default();
    sums.add(flight);
    (carrier(flight), sums)
}

/// What a batch adds.
pub fn sums<'a>(flights: impl Iterator<Item = &'a Flight>) -> BTreeMap<&'a str, Sums> {
    let mut carriers = BTreeMap::<_, Sums>::new();
    for flight in flights {
        carriers.entry(carrier(flight)).or_default().add(flight);
    }
    carriers
}

fn carrier(flight: &Flight) -> &str {
    match flight {
        Flight::FlightDeparted { carrier, .. }
        | Flight::FlightArrived { carrier, .. }
        | Flight::FlightDiverted { carrier }
        | Flight::FlightCancelled { carrier } => carrier,
    }
}
