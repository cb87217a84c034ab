//! How many flights each carrier had, by outcome, and the minutes of delay in sum.
//!
//! Sums do not depend on the order of events, so this projection is asynchronous. There are few
//! carriers, and every batch meets the same ones: so a batch is summed up here first, and each
//! carrier is written once, in the order of the keys. Workers on different batches then wait for
//! each other, but never in a circle.

use std::collections::BTreeMap;

use eventfabric_sdk::prelude::*;

const UPSERT: &str = "
    INSERT INTO carriers AS c (carrier, departed, arrived, diverted, cancelled, arr_delay_minutes)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (carrier) DO UPDATE SET
        departed = c.departed + EXCLUDED.departed,
        arrived = c.arrived + EXCLUDED.arrived,
        diverted = c.diverted + EXCLUDED.diverted,
        cancelled = c.cancelled + EXCLUDED.cancelled,
        arr_delay_minutes = c.arr_delay_minutes + EXCLUDED.arr_delay_minutes";

/// What a flight of any carrier does.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub enum Flight {
    /// It left the gate.
    FlightDeparted {
        /// Two-letter code of the airline.
        carrier: String,
    },
    /// It landed where it should.
    FlightArrived {
        /// Two-letter code of the airline.
        carrier: String,
        /// Minutes after the scheduled arrival; negative when early.
        arr_delay: i64,
    },
    /// It landed elsewhere, or nobody knows.
    FlightDiverted {
        /// Two-letter code of the airline.
        carrier: String,
    },
    /// It never left.
    FlightCancelled {
        /// Two-letter code of the airline.
        carrier: String,
    },
}

/// The sums of one carrier over a batch.
#[derive(Default)]
struct Sums {
    departed: i64,
    arrived: i64,
    diverted: i64,
    cancelled: i64,
    arr_delay_minutes: i64,
}

/// The projection.
pub struct Carriers;

impl Projection for Carriers {
    type Event = Flight;

    fn describe() -> Description {
        Description::new("carriers")
            .text("Flights of each carrier by outcome, and their minutes of delay")
            .mode(Mode::Async)
            .events(["FlightDeparted", "FlightArrived", "FlightDiverted", "FlightCancelled"])
            .migrations(migrations!["migrations/001_create_carriers.sql"])
    }

    fn handle(tx: &Tx, event: &Event<Flight>) -> Result<()> {
        Self::handle_batch(tx, std::slice::from_ref(event))
    }

    fn handle_batch(tx: &Tx, events: &[Event<Flight>]) -> Result<()> {
        let mut carriers = BTreeMap::<&str, Sums>::new();
        for event in events {
            match &event.data {
                Flight::FlightDeparted { carrier } => {
                    carriers.entry(carrier).or_default().departed += 1;
                }
                Flight::FlightArrived { carrier, arr_delay } => {
                    let sums = carriers.entry(carrier).or_default();
                    sums.arrived += 1;
                    sums.arr_delay_minutes += arr_delay;
                }
                Flight::FlightDiverted { carrier } => {
                    carriers.entry(carrier).or_default().diverted += 1;
                }
                Flight::FlightCancelled { carrier } => {
                    carriers.entry(carrier).or_default().cancelled += 1;
                }
            }
        }
        for (carrier, s) in carriers {
            let sums = params![
                carrier,
                s.departed,
                s.arrived,
                s.diverted,
                s.cancelled,
                s.arr_delay_minutes
            ];
            tx.run(UPSERT, sums)?;
        }
        Ok(())
    }
}

export_projection!(Carriers);

#[cfg(test)]
mod tests {
    use super::*;
    use eventfabric_sdk::testing::{self, RecordingTx, event};

    #[test]
    fn a_batch_is_one_upsert_a_carrier_in_the_order_of_the_keys() {
        let db = RecordingTx::new();
        let batch = [
            event("FlightDeparted", r#"{"carrier": "UA", "flight": 1545}"#),
            event("FlightCancelled", r#"{"carrier": "AA"}"#),
            event("FlightArrived", r#"{"carrier": "UA", "arr_delay": -12}"#),
            event("FlightDeparted", r#"{"carrier": "UA"}"#),
            event("FlightArrived", r#"{"carrier": "UA", "arr_delay": 40}"#),
            event("FlightDiverted", r#"{"carrier": "UA"}"#),
        ];
        testing::run::<Carriers>(&db, batch).unwrap();
        assert_eq!(
            db.calls_of("INSERT INTO carriers"),
            [
                params!["AA", 0_i64, 0_i64, 0_i64, 1_i64, 0_i64],
                params!["UA", 2_i64, 2_i64, 1_i64, 0_i64, 28_i64]
            ]
        );
        assert_eq!(db.round_trips(), 1);
    }

    #[test]
    fn an_arrival_without_a_delay_is_poison_and_named() {
        let db = RecordingTx::new();
        let batch = [
            event("FlightDeparted", r#"{"carrier": "UA"}"#),
            event("FlightArrived", r#"{"carrier": "UA"}"#),
        ];
        let failure = testing::run::<Carriers>(&db, batch).unwrap_err();
        assert_eq!((failure.kind, failure.index), (FailureKind::Poison, Some(1)));
        assert!(failure.message.contains("missing field `arr_delay`"), "{}", failure.message);
        assert_eq!(db.round_trips(), 0);
    }
}
