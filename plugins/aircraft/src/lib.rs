//! Where each aircraft was last, how many legs it flew, how often it turned up at another airport
//! than the one it had landed at, and its minutes in the air.
//!
//! This depends on the order of the events of each aircraft, so the projection follows the log
//! (catch-up). A batch reads the rows of its aircraft once, folds the events into them, and writes
//! them once: two statements a batch, whatever its size.

use std::collections::BTreeMap;

use eventfabric_sdk::prelude::*;

const LOAD: &str = "
    SELECT aircraft, last_airport, legs, ferried, air_minutes
    FROM aircraft WHERE aircraft = ANY($1)";

const STORE: &str = "
    INSERT INTO aircraft (aircraft, last_airport, legs, ferried, air_minutes)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    ON CONFLICT (aircraft) DO UPDATE SET
        last_airport = EXCLUDED.last_airport,
        legs = EXCLUDED.legs,
        ferried = EXCLUDED.ferried,
        air_minutes = EXCLUDED.air_minutes";

/// What an aircraft, the stream's aggregate, does.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub enum Flight {
    /// It took off.
    FlightDeparted {
        /// Where from.
        origin: String,
    },
    /// It landed.
    FlightArrived {
        /// Where.
        dest: String,
        /// Minutes in the air.
        air_time: i64,
    },
    /// It landed elsewhere; nobody knows where.
    FlightDiverted {},
    /// It did not take off.
    FlightCancelled {},
}

/// A row: one aircraft.
#[derive(Debug, Default, FromRow)]
struct Aircraft {
    #[column("aircraft")]
    tail_number: String,
    last_airport: String,
    legs: i64,
    ferried: i64,
    air_minutes: i64,
}

impl Aircraft {
    fn apply(&mut self, flight: &Flight) {
        match flight {
            Flight::FlightDeparted { origin } => {
                if !self.last_airport.is_empty() && self.last_airport != *origin {
                    self.ferried += 1;
                }
                self.last_airport.clone_from(origin);
                self.legs += 1;
            }
            Flight::FlightArrived { dest, air_time } => {
                self.last_airport.clone_from(dest);
                self.air_minutes += air_time;
            }
            // The aircraft is known from now on, but nothing of it has changed.
            Flight::FlightDiverted {} | Flight::FlightCancelled {} => {}
        }
    }
}

/// The projection.
pub struct Fleet;

impl Projection for Fleet {
    type Event = Flight;

    fn describe() -> Description {
        Description::new("aircraft")
            .text("Where each aircraft was last, and what it flew")
            .mode(Mode::CatchUp)
            .events(["FlightDeparted", "FlightArrived", "FlightDiverted", "FlightCancelled"])
            .migrations(migrations!["migrations/001_create_aircraft.sql"])
    }

    fn handle(tx: &Tx, event: &Event<Flight>) -> Result<()> {
        Self::handle_batch(tx, std::slice::from_ref(event))
    }

    fn handle_batch(tx: &Tx, events: &[Event<Flight>]) -> Result<()> {
        let mut fleet = BTreeMap::<&str, Aircraft>::new();
        for event in events {
            fleet.entry(&event.aggregate_id).or_insert_with(|| Aircraft {
                tail_number: event.aggregate_id.clone(),
                ..Aircraft::default()
            });
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
}

export_projection!(Fleet);

#[cfg(test)]
mod tests {
    use super::*;
    use eventfabric_sdk::{
        RawEvent,
        testing::{self, RecordingTx, event, rows},
    };

    fn of(aircraft: &str, event: RawEvent) -> RawEvent {
        RawEvent { aggregate: "Aircraft".into(), aggregate_id: aircraft.into(), ..event }
    }

    #[test]
    fn a_batch_folds_its_events_into_what_was_stored() {
        let db = RecordingTx::new();
        db.answer(
            "SELECT aircraft",
            rows(
                ["aircraft", "last_airport", "legs", "ferried", "air_minutes"],
                [params!["N2", "BOS", 5_i64, 1_i64, 600_i64]],
            ),
        );
        let batch = [
            of("N2", event("FlightDeparted", r#"{"origin": "JFK"}"#)),
            of("N1", event("FlightDeparted", r#"{"origin": "EWR"}"#)),
            of("N3", event("FlightCancelled", "{}")),
            of("N2", event("FlightArrived", r#"{"dest": "IAH", "air_time": 227}"#)),
            of("N2", event("FlightDeparted", r#"{"origin": "IAH"}"#)),
            of("N1", event("FlightDiverted", "{}")),
        ];
        testing::run::<Fleet>(&db, batch).unwrap();
        assert_eq!(db.calls_of("WHERE aircraft = ANY"), [params![["N1", "N2", "N3"]]]);
        assert_eq!(
            db.calls_of("INSERT INTO aircraft"),
            [params![
                ["N1", "N2", "N3"],
                ["EWR", "IAH", ""],
                [1_i64, 7, 0],
                [0_i64, 2, 0],
                [0_i64, 827, 0]
            ]]
        );
        assert_eq!(db.round_trips(), 2);
    }
}
