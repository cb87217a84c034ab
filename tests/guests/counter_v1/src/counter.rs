//! Counts events under the version that handled them, so that a test can tell which one did.

use eventfabric_sdk::prelude::*;

use crate::VERSION;

/// The projection.
pub struct Counter;

impl Projection for Counter {
    type Event = serde::de::IgnoredAny;

    fn describe() -> Description {
        Description::new("counter")
            .text(format!("Counts events, version {VERSION}"))
            .mode(Mode::CatchUp)
            .migration(
                1,
                "create counts",
                "CREATE TABLE counts (version text PRIMARY KEY, n bigint NOT NULL)",
            )
    }

    fn handle(tx: &Tx, event: &Event<Self::Event>) -> Result<()> {
        assert!(VERSION != "bad", "this version can't count to {}", event.position);
        tx.run(
            "INSERT INTO counts AS c (version, n) VALUES ($1, 1)
             ON CONFLICT (version) DO UPDATE SET n = c.n + 1",
            params![VERSION],
        )
    }
}

export_projection!(Counter);
