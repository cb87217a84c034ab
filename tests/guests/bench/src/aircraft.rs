//! Where each aircraft was last: many rows, and the order within a stream matters.

use std::collections::BTreeMap;

use eventfabric_sdk::prelude::*;

use crate::Flight;

/// Applies one flight: aircraft, airport (empty for none), legs, minutes in the air.
pub const UPSERT: &str = "
    INSERT INTO aircraft AS a (aircraft, last_airport, legs, ferried, air_minutes)
    VALUES ($1, $2, $3, 0, $4)
    ON CONFLICT (aircraft) DO UPDATE SET
        last_airport = coalesce(nullif(EXCLUDED.last_airport, ''), a.last_airport),
        legs = a.legs + EXCLUDED.legs,
        ferried = a.ferried
            + (EXCLUDED.legs = 1 AND a.last_airport NOT IN ('', EXCLUDED.last_airport))::int,
        air_minutes = a.air_minutes + EXCLUDED.air_minutes";

/// The rows of some aircraft.
pub const LOAD: &str = "
    SELECT aircraft, last_airport, legs, ferried, air_minutes
    FROM aircraft WHERE aircraft = ANY($1)";

/// Writes the rows of some aircraft, a column a parameter.
pub const STORE: &str = "
    INSERT INTO aircraft (aircraft, last_airport, legs, ferried, air_minutes)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    ON CONFLICT (aircraft) DO UPDATE SET
        last_airport = EXCLUDED.last_airport,
        legs = EXCLUDED.legs,
        ferried = EXCLUDED.ferried,
        air_minutes = EXCLUDED.air_minutes";

/// A row.
#[derive(Debug, Default, Clone, FromRow)]
pub struct Aircraft {
    /// Its tail number.
    #[column("aircraft")]
    pub tail_number: String,
    /// Empty when it is not known.
    pub last_airport: String,
    /// Departures.
    pub legs: i64,
    /// Departures from another airport than the last one.
    pub ferried: i64,
    /// Minutes in the air.
    pub air_minutes: i64,
}

impl Aircraft {
    /// One that is not in the table yet.
    pub fn new(tail_number: &str) -> Self {
        Self { tail_number: tail_number.to_owned(), ..Self::default() }
    }

    /// What a flight changes.
    pub fn apply(&mut self, flight: &Flight) {
        let (airport, legs, air_minutes) = leg(flight);
        if legs == 1 && !self.last_airport.is_empty() && self.last_airport != airport {
            self.ferried += 1;
        }
        if !airport.is_empty() {
            airport.clone_into(&mut self.last_airport);
        }
        self.legs += legs;
        self.air_minutes += air_minutes;
    }
}

/// Airport, legs and minutes in the air of one flight.
pub fn leg(flight: &Flight) -> (&str, i64, i64) {
    match flight {
        Flight::FlightDeparted { origin, .. } => (origin, 1, 0),
        Flight::FlightArrived { dest, air_time, .. } => (dest, 0, *air_time),
        Flight::FlightDiverted { .. } | Flight::FlightCancelled { .. } => ("", 0, 0),
    }
}

/// The parameters of [`UPSERT`].
pub fn params(aircraft: &str, flight: &Flight) -> Vec<Value> {
    let (airport, legs, air_minutes) = leg(flight);
    params![aircraft, airport, legs, air_minutes]
}

/// Reads the rows of a batch once, applies its flights, and writes them once.
pub(crate) fn merged(tx: &Tx<'_>, events: &[Event<Flight>]) -> Result<()> {
    let mut fleet = BTreeMap::<&str, Aircraft>::new();
    for event in events {
        let id = event.aggregate_id.as_str();
        fleet.entry(id).or_insert_with(|| Aircraft::new(id));
    }
    let known = fleet.keys().copied().collect::<Vec<_>>();
    for row in tx.query::<Aircraft>(LOAD, params![known])? {
        if let Some(aircraft) = fleet.get_mut(row.tail_number.as_str()) {
            *aircraft = row;
        }
    }
    for event in events {
        if let Some(aircraft) = fleet.get_mut(event.aggregate_id.as_str()) {
            aircraft.apply(&event.data);
        }
    }
    let rows = fleet.values();
    let columns = params![
        rows.clone().map(|it| &it.tail_number).collect::<Vec<_>>(),
        rows.clone().map(|it| &it.last_airport).collect::<Vec<_>>(),
        rows.clone().map(|it| it.legs).collect::<Vec<_>>(),
        rows.clone().map(|it| it.ferried).collect::<Vec<_>>(),
        rows.map(|it| it.air_minutes).collect::<Vec<_>>(),
    ];
    tx.run(STORE, columns)
}
