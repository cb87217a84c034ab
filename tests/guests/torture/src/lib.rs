//! A guest that writes down what it is given, and fails when it is told to.
//!
//! `applied` has a row for each time that an event was handled, with no key: what is repeated shows.
//! `streams` holds the last version of each stream, and counts the events that did not follow on
//! the one before. `mood` is written by the test: while it holds a word, every batch ends that way.

use eventfabric_sdk::prelude::*;

/// What an event asks for.
#[derive(Debug, Deserialize)]
pub struct Deed {
    /// `poison` and `trap` never succeed in an async projection. A catch-up projection, which would
    /// stop, takes them as any other.
    #[serde(default)]
    pub fate: String,
}

/// What the guest says of itself.
pub fn describe(name: &str, mode: Mode) -> Description {
    Description::new(name)
        .text("Writes down what it is given")
        .mode(mode)
        .migration(
            1,
            "create the tables",
            "CREATE TABLE applied (position bigint NOT NULL, stream text NOT NULL, version int NOT NULL);
             CREATE TABLE streams (stream text PRIMARY KEY, last int NOT NULL, leaps int NOT NULL);
             CREATE TABLE mood (word text NOT NULL)",
        )
}

/// Handles a batch.
///
/// # Errors
/// Those that the mood and the events ask for.
pub fn handle(tx: &Tx<'_>, events: &[Event<Deed>], in_order: bool) -> Result<()> {
    let middle = &events[events.len() / 2];
    let mood: Vec<(String,)> = tx.query("SELECT word FROM mood", params![])?;
    match mood.first().map(|(word,)| word.as_str()) {
        Some("retry") => return Err(Error::retry("the mood is bad").at(middle.index)),
        Some("trap") => panic!("the mood is bad"),
        Some("sql") => tx.run("SELECT 1 / (length($1::text) - length($1::text))", params!["x"])?,
        _ => {}
    }
    for event in events {
        tx.blame(event);
        let stream = format!("{}/{}", event.tenant, event.aggregate_id);
        let version = event.version as i32;
        tx.run(
            "INSERT INTO applied (position, stream, version) VALUES ($1, $2, $3)",
            params![event.position as i64, stream.clone(), version],
        )?;
        if in_order {
            tx.run(
                "INSERT INTO streams AS s (stream, last, leaps) VALUES ($1, $2, ($2 <> 1)::int)
                 ON CONFLICT (stream) DO UPDATE
                 SET last = EXCLUDED.last, leaps = s.leaps + (EXCLUDED.last <> s.last + 1)::int",
                params![stream, version],
            )?;
            continue;
        }
        match event.data.fate.as_str() {
            "poison" => return Err(event.poison("this event is poison")),
            "trap" => panic!("this event is a trap"),
            _ => {}
        }
    }
    Ok(())
}
