//! What can go wrong in a session.

use crate::code::codes;
use crate::event::StreamId;
use crate::store::StoreError;
use crate::upcast::UpcastError;

/// Why a session did not do what it was asked for. What it holds is kept, and nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Nobody has ever started this stream.
    #[error("there is no {stream}: start it with `start_stream`, or look for it with `find`")]
    UnknownStream {
        /// The stream.
        stream: StreamId,
    },
    /// The factory was not told of this kind of aggregate.
    #[error(
        "the aggregate {aggregate} ({type_name}) is not registered: add \
         `.aggregate::<{type_name}>(…)` to the builder of the SessionFactory"
    )]
    NotRegistered {
        /// Its name.
        aggregate: &'static str,
        /// Its Rust type.
        type_name: &'static str,
    },
    /// One stream is used in two ways in one session.
    #[error(
        "{stream} is in use in this session already: go on with what `load`, `start_stream` or \
         `append` made of it"
    )]
    InUse {
        /// The stream.
        stream: StreamId,
    },
    /// An event of the stream can't be read.
    #[error("version {version} of {stream} cannot be read: {source}")]
    Decode {
        /// The stream.
        stream: Box<StreamId>,
        /// The version of the event in it.
        version: i32,
        /// Why.
        source: DecodeError,
    },
    /// An event can't be written as JSON.
    #[error("an event {event_type} for {stream} cannot be written: {reason}")]
    Encode {
        /// The stream.
        stream: Box<StreamId>,
        /// The type of the event.
        event_type: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The store refused, see [`SessionError::is_conflict`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

codes!(SessionError {
    Self::UnknownStream { .. } => "stream-not-found",
    Self::NotRegistered { .. } => "aggregate-not-registered",
    Self::InUse { .. } => "stream-in-use",
    Self::Decode { .. } => "event-unreadable",
    Self::Encode { .. } => "event-unwritable",
} else {
    Self::Store(error) => error,
});

impl SessionError {
    /// Another writer was there first: the same work, on what is there now, can succeed.
    pub fn is_conflict(&self) -> bool {
        let Self::Store(error) = self else { return false };
        match error {
            StoreError::Conflict { .. } => true,
            StoreError::Inline(failure) => failure.retryable,
            StoreError::Database(error) => gave_way(error),
            StoreError::Work { source, .. } => {
                source.downcast_ref::<sqlx::Error>().is_some_and(gave_way)
            }
            _ => false,
        }
    }
}

impl From<sqlx::Error> for SessionError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// Whether the transaction was ended for the sake of another one.
fn gave_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|db| db.code());
    // Serialization failure, deadlock, lock not available.
    code.is_some_and(|code| ["40001", "40P01", "55P03"].contains(&code.as_ref()))
}

/// Why an event of the log is none of a program's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The enum has no such variant.
    #[error(
        "the type {event_type} is unknown here; known are {}: add a variant, or use a newer program",
        .known.join(", ")
    )]
    UnknownType {
        /// The type of the event.
        event_type: String,
        /// Those that would do.
        known: Vec<&'static str>,
    },
    /// It is of another schema version.
    #[error(transparent)]
    Upcast(#[from] UpcastError),
    /// The payload is another one than the type says.
    #[error("the payload is not what the type says: {0}")]
    Payload(#[from] serde_json::Error),
}
