//! What a projection is and how one ends: pure types, no I/O.

use serde::{Deserialize, Serialize};

/// Where a projection gets its events from, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// In the transaction of the append.
    Inline,
    /// From the log, in order, after a checkpoint.
    CatchUp,
    /// From the outbox, any order across streams.
    Async,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Inline => "inline",
            Self::CatchUp => "catch-up",
            Self::Async => "async",
        })
    }
}

/// Which topics an async projection takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TopicFilter {
    /// Every event, with or without a topic.
    #[default]
    All,
    /// Events with one of these topics.
    Include(Vec<String>),
    /// Events without a topic, or with none of these.
    Exclude(Vec<String>),
}

impl TopicFilter {
    /// Whether an event with this topic passes.
    pub fn matches(&self, topic: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Include(topics) => topic.is_some_and(|t| topics.iter().any(|x| x == t)),
            Self::Exclude(topics) => topic.is_none_or(|t| !topics.iter().any(|x| x == t)),
        }
    }
}

/// One step in the making of a plugin's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// 1, 2, 3, … without holes.
    pub number: u32,
    /// For people.
    pub name: String,
    /// One or more statements.
    pub sql: String,
}

/// What a plugin says of itself, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The identity of the projection and the name of its schema.
    pub name: String,
    /// One sentence for people.
    pub text: String,
    /// How it is fed.
    pub mode: Mode,
    /// Which topics it takes; matters for [`Mode::Async`] only.
    pub topics: TopicFilter,
    /// Which types of events it takes; empty: all.
    pub event_types: Vec<String>,
    /// The making of its tables, in order.
    pub migrations: Vec<Migration>,
}

impl Description {
    /// Whether events of this type are for this projection.
    pub fn wants_type(&self, event_type: &str) -> bool {
        self.event_types.is_empty() || self.event_types.iter().any(|wanted| wanted == event_type)
    }
}

/// What a parameter of a query may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 64 bits.
    Int64,
    /// A number.
    Float64,
    /// A decimal number, exact.
    Numeric,
    /// Text.
    Text,
    /// A UUID.
    Uuid,
    /// A moment.
    Timestamptz,
    /// A day.
    Date,
}

/// A parameter of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Unique in its query.
    pub name: String,
    /// For people.
    pub text: String,
    /// What it may be.
    pub r#type: ParameterType,
    /// There is no answer without it.
    pub required: bool,
}

/// A query that a plugin answers, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Unique in its plugin.
    pub name: String,
    /// For people.
    pub text: String,
    /// In the order in which they are listed.
    pub parameters: Vec<Parameter>,
    /// The answer is about one tenant alone.
    pub per_tenant: bool,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// The same events can succeed later.
    Retry,
    /// This event never succeeds.
    Poison,
    /// The plugin is wrong, for every event.
    Fatal,
}

/// What kind of failure made a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorClass {
    /// The plugin, or the database, refused the event.
    Poison,
    /// The plugin is wrong, for every event.
    Fatal,
    /// What could have passed did not, as often as it was tried.
    Retry,
    /// The plugin was stopped: it panicked, or went beyond a limit.
    Trap,
}

impl ErrorClass {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poison => "poison",
            Self::Fatal => "fatal",
            Self::Retry => "retry",
            Self::Trap => "trap",
        }
    }
}

impl std::str::FromStr for ErrorClass {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Poison, Self::Fatal, Self::Retry, Self::Trap];
        let found = all.into_iter().find(|class| class.as_str() == text);
        found.ok_or("give `poison`, `fatal`, `retry` or `trap`")
    }
}

/// Why a batch was not handled.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The event of the batch to blame, where it is known.
    pub index: Option<usize>,
    /// What to do about it.
    pub kind: FailureKind,
    /// What went wrong, the SQL that failed included.
    pub message: String,
    /// The plugin trapped or ran out of time, rather than answering.
    pub trapped: bool,
    /// It cost as much as it may, and will again: the plugin was stopped, by a trap, at the end of its
    /// time (not while it waited for a lock), or at a limit.
    pub costly: bool,
    /// The connection is gone with the transaction: nothing was kept, and no event is to blame.
    pub connection_lost: bool,
    /// What the database said of the first statement that failed, where one did.
    pub sqlstate: Option<String>,
    /// That statement.
    pub statement: Option<String>,
    /// The place in it, in characters from 1, where the database named one.
    pub place: Option<u32>,
}

impl Failure {
    /// A failure of a kind without a known event.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            index: None,
            kind,
            message: message.into(),
            trapped: false,
            costly: false,
            connection_lost: false,
            sqlstate: None,
            statement: None,
            place: None,
        }
    }

    /// What it says outside of this host and its database: what the database says can hold values of rows.
    pub fn for_others(&self) -> String {
        match &self.sqlstate {
            Some(state) => format!("SQLSTATE {state}"),
            None => self.message.clone(),
        }
    }

    /// The class of a dead letter that it makes.
    pub fn class(&self) -> ErrorClass {
        match self.kind {
            _ if self.trapped => ErrorClass::Trap,
            FailureKind::Poison => ErrorClass::Poison,
            FailureKind::Fatal => ErrorClass::Fatal,
            FailureKind::Retry => ErrorClass::Retry,
        }
    }
}
