//! The guest of the benchmark as a projection of the mode `catch-up`. See [`bench_guest`].

use bench_guest::Flight;
use eventfabric_sdk::prelude::*;

/// The projection.
pub struct Bench;

impl Projection for Bench {
    type Event = Flight;

    fn describe() -> Description {
        bench_guest::describe("bench_catch_up_000", Mode::CatchUp)
    }

    fn handle(tx: &Tx, event: &Event<Flight>) -> Result<()> {
        Self::handle_batch(tx, std::slice::from_ref(event))
    }

    fn handle_batch(tx: &Tx, events: &[Event<Flight>]) -> Result<()> {
        bench_guest::handle(tx, events)
    }
}

export_projection!(Bench);
