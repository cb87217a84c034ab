//! The guest of the torture test as a projection of the mode `catch-up` that sets aside what it can't handle.
//! See [`torture`].

use eventfabric_sdk::prelude::*;
use torture::{Deed, Kind};

/// The projection.
pub struct Torture;

impl Projection for Torture {
    type Event = Deed;

    fn describe() -> Description {
        torture::describe("torture_aside", Mode::CatchUp)
    }

    fn handle(tx: &Tx, event: &Event<Deed>) -> Result<()> {
        Self::handle_batch(tx, std::slice::from_ref(event))
    }

    fn handle_batch(tx: &Tx, events: &[Event<Deed>]) -> Result<()> {
        torture::handle(tx, events, Kind::Aside)
    }
}

export_projection!(Torture);
