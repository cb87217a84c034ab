//! Enters every event into one table and counts them in another, each row with the version that made it, so
//! that a reader can tell tables of one version from those of another. The versions have different
//! migrations under the same numbers.

use eventfabric_sdk::prelude::*;

use crate::{MIGRATIONS, VERSION};

/// Which version can't handle the event.
#[derive(serde::Deserialize)]
pub struct Entry {
    #[serde(default)]
    refused_by: Option<i32>,
}

/// The projection.
pub struct Ledger;

impl Projection for Ledger {
    type Event = Entry;

    fn describe() -> Description {
        let description = Description::new("ledger")
            .text(format!("Enters events, version {VERSION}"))
            .mode(Mode::CatchUp);
        (1..).zip(MIGRATIONS).fold(description, |description, (number, (name, sql))| {
            description.migration(number, *name, *sql)
        })
    }

    fn handle(tx: &Tx, event: &Event<Entry>) -> Result<()> {
        if event.data.refused_by == Some(VERSION) {
            return Err(Error::poison(format!("version {VERSION} refuses it")));
        }
        tx.run(
            "INSERT INTO entries (position, made_by) VALUES ($1, $2)",
            params![event.position as i64, VERSION],
        )?;
        tx.run(
            "INSERT INTO totals AS t (one, n, made_by) VALUES (1, 1, $1)
             ON CONFLICT (one) DO UPDATE SET n = t.n + 1",
            params![VERSION],
        )
    }
}

export_projection!(Ledger);
