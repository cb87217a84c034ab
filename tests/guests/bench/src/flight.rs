//! The events.

use serde::Deserialize;

/// What an aircraft, the stream's aggregate, does.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub enum Flight {
    /// It took off.
    FlightDeparted {
        /// Two-letter code of the airline.
        carrier: String,
        /// Where from.
        origin: String,
    },
    /// It landed.
    FlightArrived {
        /// Two-letter code of the airline.
        carrier: String,
        /// Where.
        dest: String,
        /// Minutes after the scheduled arrival; negative when early.
        arr_delay: i64,
        /// Minutes in the air.
        air_time: i64,
    },
    /// It landed elsewhere.
    FlightDiverted {
        /// Two-letter code of the airline.
        carrier: String,
    },
    /// It did not take off.
    FlightCancelled {
        /// Two-letter code of the airline.
        carrier: String,
    },
}
