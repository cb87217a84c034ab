//! A guest that wants more than its world: it writes a file. The host must refuse it when it is
//! loaded, and name the import.

use eventfabric_sdk::prelude::*;

/// The projection.
pub struct ImportsFs;

impl Projection for ImportsFs {
    type Event = serde::de::IgnoredAny;

    fn describe() -> Description {
        Description::new("imports_fs").text("Writes a file").mode(Mode::CatchUp)
    }

    fn handle(_: &Tx, event: &Event<Self::Event>) -> Result<()> {
        std::fs::write("/stolen", &event.payload)?;
        Ok(())
    }
}

export_projection!(ImportsFs);
