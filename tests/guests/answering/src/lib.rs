//! A process manager that does what its events say, step by step, and writes down what came of each step.

use eventfabric_sdk::RawEvent;
use eventfabric_sdk::prelude::*;

/// What an event says.
#[derive(Debug, Deserialize)]
pub struct Ask {
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    /// Appends an event, and fails where that does.
    Append(Append),
    /// Appends an event, and goes on whatever becomes of it.
    Try(Append),
    /// How many events a stream has, and its version.
    Load { aggregate: String, id: String },
    /// The same event once more.
    Again {},
    /// Runs a statement, and goes on whatever becomes of it.
    Sql(String),
    /// Refuses the event.
    Refuse {},
    /// Traps.
    Panic {},
}

#[derive(Debug, Deserialize)]
struct Append {
    aggregate: String,
    id: String,
    expected: Option<u32>,
    /// Where nothing is said, what the setting `type` says, or `Answered`.
    r#type: Option<String>,
    #[serde(default)]
    data: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    topics: Vec<String>,
}

/// What it is.
pub fn describe(name: &str, mode: Mode) -> Description {
    Description::new(name).text("Answers events as they say").mode(mode).events(["Ask"]).migration(
        1,
        "create seen",
        "CREATE TABLE seen (position bigint PRIMARY KEY, note text NOT NULL)",
    )
}

/// Does what an event says.
pub fn handle(tx: &Tx, event: &Event<Ask>) -> Result<()> {
    let mut notes = Vec::new();
    for step in &event.data.steps {
        notes.push(match step {
            Step::Append(what) => append(tx, event, what)?.to_string(),
            Step::Try(what) => match append(tx, event, what) {
                Ok(version) => version.to_string(),
                Err(error) => error.to_string(),
            },
            Step::Load { aggregate, id } => {
                let stream = tx.event_store().load::<serde_json::Value, _>(event, aggregate, id)?;
                format!("{} to {}", stream.events.len(), stream.version)
            }
            Step::Again {} => {
                let data: serde_json::Value = serde_json::from_str(&event.payload)?;
                let again = [NewEvent::of("Ask", &data)?];
                let (store, any) = (tx.event_store(), ExpectedVersion::Any);
                store.append(event, &event.aggregate, &event.aggregate_id, any, again)?.to_string()
            }
            Step::Sql(sql) => match tx.execute(sql, vec![]) {
                Ok(rows) => rows.to_string(),
                Err(error) => error.to_string(),
            },
            Step::Refuse {} => return Err(event.poison("refused as it says")),
            Step::Panic {} => panic!("as the event says"),
        });
    }
    tx.run("INSERT INTO seen VALUES ($1, $2)", params![event.position, notes.join("; ")])
}

fn append(tx: &Tx, event: &Event<Ask>, what: &Append) -> Result<u32, AppendError> {
    let invalid = |error: Error| AppendError::Invalid(error.to_string());
    let set = config::get("type").unwrap_or_else(|| "Answered".to_owned());
    let new = NewEvent::of(what.r#type.clone().unwrap_or(set), &what.data).map_err(invalid)?;
    let events = match &what.topics[..] {
        [] => vec![new],
        // (JSON that PostgreSQL keeps has no NUL.)
        topics => {
            topics.iter().map(|topic| new.clone().topic(topic.replace("NUL", "\0"))).collect()
        }
    };
    let expected = match what.expected {
        None => ExpectedVersion::Any,
        Some(0) => ExpectedVersion::None,
        Some(version) => version.into(),
    };
    tx.event_store().append(event, &what.aggregate, &what.id, expected, events)
}

/// Tries to append while it answers a query.
pub fn steal(tx: &Tx, (): ()) -> Result<RowSet> {
    let raw = RawEvent {
        position: 1,
        id: String::new(),
        tenant: "default".into(),
        aggregate: "Ask".into(),
        aggregate_id: "1".into(),
        version: 1,
        event_type: "Ask".into(),
        schema_version: 1,
        payload: "{}".into(),
        occurred_at: 0,
        correlation_id: None,
        causation_id: None,
    };
    let event = Event::parse(raw, 0)?;
    let stolen = [NewEvent::of("Stolen", &serde_json::json!({}))?];
    let answer = tx.event_store().append::<Ask>(&event, "Answers", "1", 0, stolen);
    tx.row_set("SELECT $1::text AS answer", params![format!("{answer:?}")])
}

/// Makes a component of this name and mode.
#[macro_export]
macro_rules! component {
    ($name:literal, $mode:ident) => {
        use eventfabric_sdk::prelude::*;

        struct Answering;

        impl Projection for Answering {
            type Event = $crate::Ask;

            fn describe() -> Description {
                $crate::describe($name, Mode::$mode)
            }

            fn handle(tx: &Tx, event: &Event<$crate::Ask>) -> Result<()> {
                $crate::handle(tx, event)
            }
        }

        impl Queries for Answering {
            fn queries() -> Vec<Query> {
                vec![Query::new("steal", $crate::steal)]
            }
        }

        export_projection!(Answering, queries);
    };
}
