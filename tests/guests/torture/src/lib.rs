//! A guest that writes down what it is given, and fails when it is told to.
//!
//! `applied` has a row for each time that an event was handled, with no key: what is repeated shows.
//! `streams` holds the last version of each stream, and counts the events that did not come after
//! the one before. `mood` is written by the test: while it holds a word, every batch ends that way;
//! but while it is `well`, no event is bad.

use eventfabric_sdk::prelude::*;

/// What an event asks for.
#[derive(Debug, Deserialize)]
pub struct Deed {
    /// `poison` and `trap` never succeed in a projection that can go on without them;
    /// `inline poison` and `inline trap` never succeed in an inline one.
    #[serde(default)]
    pub fate: String,
}

/// How a guest is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It would stop at what it can't handle, and so takes everything. It gets each version of each
    /// stream.
    CatchUp,
    /// In order, but for the events that it can't handle.
    Aside,
    /// In any order.
    Async,
    /// In order within each stream: each version, or none from the first on that it can't handle.
    Ordered,
    /// In the order of each stream; events that others have appended pass it by.
    Inline,
}

impl Kind {
    /// What this event does to it.
    fn fate(self, deed: &Deed) -> &str {
        match self {
            Self::CatchUp => "",
            Self::Inline => deed.fate.strip_prefix("inline ").unwrap_or_default(),
            Self::Aside | Self::Async | Self::Ordered => &deed.fate,
        }
    }
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

/// Each version must be the next one.
const FOLLOW: &str = "
    INSERT INTO streams AS s (stream, last, leaps) VALUES ($1, $2, ($2 <> 1)::int)
    ON CONFLICT (stream) DO UPDATE
    SET last = EXCLUDED.last, leaps = s.leaps + (EXCLUDED.last <> s.last + 1)::int";

/// Each version must be a later one.
const RISE: &str = "
    INSERT INTO streams AS s (stream, last, leaps) VALUES ($1, $2, 0)
    ON CONFLICT (stream) DO UPDATE
    SET last = EXCLUDED.last, leaps = s.leaps + (EXCLUDED.last <= s.last)::int";

/// Handles a batch.
///
/// # Errors
/// Those that the mood and the events ask for.
pub fn handle(tx: &Tx<'_>, events: &[Event<Deed>], kind: Kind) -> Result<()> {
    let middle = &events[events.len() / 2];
    let mood: Vec<(String,)> = tx.query("SELECT word FROM mood", params![])?;
    let mood = mood.first().map(|(word,)| word.as_str());
    match mood {
        Some("retry") => return Err(Error::retry("the mood is bad").at(middle.index)),
        Some("trap") => panic!("the mood is bad"),
        Some("sql") => tx.run("SELECT 1 / (length($1::text) - length($1::text))", params!["x"])?,
        // There is no clock here to wait by.
        Some("slow") => (0..50_000_000_u64).for_each(|n| {
            std::hint::black_box(n);
        }),
        _ => {}
    }
    for event in events {
        tx.blame(event);
        match kind.fate(&event.data) {
            _ if mood == Some("well") => {}
            "poison" => return Err(event.poison("this event is poison")),
            "trap" => panic!("this event is a trap"),
            _ => {}
        }
        let stream = format!("{}/{}", event.tenant, event.aggregate_id);
        let version = event.version as i32;
        tx.run(
            "INSERT INTO applied (position, stream, version) VALUES ($1, $2, $3)",
            params![event.position as i64, stream.clone(), version],
        )?;
        match kind {
            Kind::CatchUp | Kind::Ordered => tx.run(FOLLOW, params![stream, version])?,
            Kind::Aside | Kind::Inline => tx.run(RISE, params![stream, version])?,
            Kind::Async => {}
        }
    }
    Ok(())
}
