//! A reactor of a mode in which there are none.

use eventfabric_sdk::prelude::*;

/// The reactor.
pub struct Inline;

impl Projection for Inline {
    type Event = serde::de::IgnoredAny;

    fn describe() -> Description {
        Description::new("reactor_inline").mode(Mode::Inline)
    }

    fn handle(_: &Tx, event: &Event<Self::Event>) -> Result<()> {
        http::Request::get("http://127.0.0.1/").send(event)?;
        Ok(())
    }
}

export_projection!(Inline);
