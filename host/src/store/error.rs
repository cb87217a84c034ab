//! What can go wrong in the store.

use crate::code::codes;
use crate::db::DETACHED;
use crate::event::{ExpectedVersion, StreamId, TenantId};

use super::InlineFailure;

/// Why the store did not do what it was asked for. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another writer was there first, or the caller believes something else of the stream.
    #[error("{stream}: expected {expected}, but the stream {}", at(*.actual))]
    Conflict {
        /// The stream that was written to.
        stream: StreamId,
        /// What the caller expected.
        expected: ExpectedVersion,
        /// The version of its last event; 0 where it has none.
        actual: i32,
    },
    /// Some of the event ids are in the log already, but not as this very append.
    #[error(
        "event {id} is in the log already, as version {version} of {stream}: an id names one event \
         for ever; leave ids out or make new ones"
    )]
    DuplicateEvent {
        /// The id that is taken.
        id: uuid::Uuid,
        /// Where it is.
        stream: StreamId,
        /// Where it is.
        version: i32,
    },
    /// An event id is taken, and where it is is none of this writer's business: the event belongs to
    /// a tenant that the append does not write to.
    #[error(
        "event id {id} is taken: an id names one event for ever; leave ids out or make new ones"
    )]
    EventIdTaken {
        /// The id that is taken.
        id: uuid::Uuid,
    },
    /// A handle on one tenant was asked for another one.
    #[error("this handle reads and writes tenant {own} alone, and was asked for {asked}")]
    OtherTenant {
        /// The tenant of the handle.
        own: TenantId,
        /// The tenant that was named.
        asked: String,
    },
    /// The events themselves can't be stored.
    #[error("event {index} ({event_type}) of {stream}: {reason}")]
    InvalidEvent {
        /// The place in the append, from 0.
        index: usize,
        /// The type of the event.
        event_type: String,
        /// The stream that was written to.
        stream: Box<StreamId>,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The append as a whole can't be made.
    #[error("{0}")]
    InvalidAppend(String),
    /// An inline projection failed, and the append with it.
    #[error(transparent)]
    Inline(#[from] InlineFailure),
    /// The database has inline plugins that this writer does not run.
    #[error(
        "the database has inline plugins that this process does not run, so its appends would be \
         missing from their tables; append through the host (`eventfabric append`, `import`), or \
         give the store its inline plugins"
    )]
    InlineMissing,
    /// A key of [`append_once`](super::EventStore::append_once) belongs to another append.
    #[error(
        "{stream}: the key of this append was used for another one: for another stream, other \
         events or another expected version; a key names one append for ever"
    )]
    KeyReused {
        /// The stream that was written to.
        stream: StreamId,
    },
    /// The inline plugins of the database can't be loaded now, or change too often.
    #[error("{0}")]
    InlineUnavailable(String),
    /// A schema that appends are to be checked against is none.
    #[error(
        "the schema of version {schema_version} of {event_type} can't be used, and it is enforced, so nothing \
         is appended: {reason}; `eventfabric schemas remove` it"
    )]
    UnusableSchema {
        /// Of the schema.
        event_type: String,
        /// Of the schema.
        schema_version: i32,
        /// What is wrong with it.
        reason: String,
    },
    /// A query asks for what can't be answered: a JSON path that is none, a time out of range.
    #[error("{0}")]
    InvalidQuery(String),
    /// An append was not made in the time that it has as a whole.
    #[error(
        "the append was not made within {}: {doing}; nothing was appended (append_timeout)",
        seconds(.limit)
    )]
    AppendTimedOut {
        /// The whole time of the append.
        limit: std::time::Duration,
        /// What it was doing when the time was over.
        doing: &'static str,
    },
    /// The database did not answer an append in time.
    #[error(
        "the database did not answer within {} (append_timeout) and some seconds; it is not known \
         whether the append was made: make it again with the same event ids or the same key",
        seconds(.limit)
    )]
    AppendUnanswered {
        /// The whole time of the append.
        limit: std::time::Duration,
    },
    /// A query took longer than it was allowed to.
    #[error(
        "the query was stopped after {0:?}: narrow it by stream, position, time, correlation or \
         causation, which have indexes, or give it more time"
    )]
    QueryTimedOut(std::time::Duration),
    /// Events were named that are not in the log, or belong to another tenant.
    #[error("not in the log: {}", listed(.missing))]
    UnknownEvents {
        /// The positions or ids, in the order in which they were asked for.
        missing: Vec<String>,
    },
    /// A dismissal, or its end, that can't be made.
    #[error("{0}")]
    InvalidDismissal(String),
    /// Work of the caller in the transaction of the append failed, and the append with it.
    #[error("{work} failed in the transaction of the append: {source}; nothing was appended")]
    Work {
        /// What it was, such as the name of an inline projection.
        work: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// PostgreSQL said no, or could not be reached.
    #[error("{}", describe(.0))]
    Database(#[from] sqlx::Error),
}

codes!(StoreError {
    Self::Conflict { .. } => "expected-version-conflict",
    Self::DuplicateEvent { .. } | Self::EventIdTaken { .. } => "duplicate-event",
    Self::OtherTenant { .. } => "other-tenant",
    Self::InvalidEvent { .. } => "invalid-event",
    Self::InvalidAppend(_) => "invalid-append",
    Self::InlineMissing => "inline-missing",
    Self::KeyReused { .. } => "idempotency-key-reused",
    Self::InlineUnavailable(_) => "inline-unavailable",
    Self::UnusableSchema { .. } => "schema-unusable",
    Self::InvalidQuery(_) => "invalid-query",
    Self::AppendTimedOut { .. } => "append-timed-out",
    Self::AppendUnanswered { .. } => "append-unanswered",
    Self::QueryTimedOut(_) => "query-timed-out",
    Self::UnknownEvents { .. } => "unknown-events",
    Self::InvalidDismissal(_) => "invalid-dismissal",
    Self::Work { .. } => "work-failed",
} else {
    Self::Inline(failure) => failure,
    Self::Database(error) => error,
});

impl StoreError {
    /// Some of what was asked for is in a partition that was taken out of the log.
    pub fn is_detached(&self) -> bool {
        let Self::Database(error) = self else { return false };
        error.as_database_error().and_then(|db| db.code()).as_deref() == Some(DETACHED)
    }

    /// PostgreSQL could not store what it was given, and never will: a number or a time out of its
    /// range, JSON nested too deeply.
    pub fn is_bad_data(&self) -> bool {
        let error = match self {
            Self::Inline(failure) => return !failure.retryable,
            Self::Database(error) => error,
            _ => return false,
        };
        Self::is_bad_value(error)
    }

    /// The same of an error of the database.
    pub(crate) fn is_bad_value(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|db| db.code());
        // 22: data exception. 54001: statement (here, a payload) too complex.
        code.is_some_and(|code| code.starts_with("22") || code == "54001")
    }
}

/// The first few of a list, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A time as people write it, and no finer than it matters.
pub(super) fn seconds(time: &std::time::Duration) -> String {
    format!("{:?}", std::time::Duration::from_millis(time.as_millis() as u64))
}

fn at(actual: i32) -> String {
    match actual {
        0 => "has no event".to_owned(),
        version => format!("is at version {version}"),
    }
}

/// A database error in words, with the cure for those that have a common one.
pub fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(db) => match db.code().as_deref() {
            Some("25006") => format!(
                "the database is read-only ({}): is this a standby, or is \
                 default_transaction_read_only on?",
                db.message()
            ),
            Some("42P01" | "3F000") => {
                format!(
                    "{}: has the database been migrated? Run `eventfabric migrate`",
                    db.message()
                )
            }
            Some(DETACHED) => {
                let name = db.message().rsplit("the partition ").next().unwrap_or_default();
                let name = name.trim_end_matches(" was detached");
                format!("{}; `eventfabric partitions attach {name}` brings it back", db.message())
            }
            Some("53100") => format!("{}: the disk of the database is full", db.message()),
            Some(code) => format!("database error {code}: {}", db.message()),
            None => format!("database error: {}", db.message()),
        },
        sqlx::Error::Io(io) => {
            format!("cannot reach the database ({io}): is it running, and is --database-url right?")
        }
        sqlx::Error::PoolTimedOut => {
            "no connection to the database within 30 s: is it running, and is --database-url right?"
                .to_owned()
        }
        other => format!("database error: {other}"),
    }
}
