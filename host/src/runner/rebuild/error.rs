//! Why a rebuild has ended before its time.

use crate::code::codes;
use crate::runner::canary::Trial;
use crate::sandbox::SandboxError;
use crate::store::{StoreError, describe};

/// Why a projection was not rebuilt. What is served has not changed, and unless it says so the same
/// command goes on where this one has stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// There is no projection of that name.
    #[error("there is no projection `{0}` (see `eventfabric projections list`)")]
    Unknown(String),
    /// It is a relay.
    #[error(
        "`{0}` is a relay and has no tables; `eventfabric projections reset {0}` has it publish the log again"
    )]
    Relay(String),
    /// Its plugin can't be loaded here.
    #[error("the active version of `{0}` cannot be loaded here (the log says why)")]
    NotLoaded(String),
    /// Somebody else is at it.
    #[error("`{0}` is being rebuilt already, by another program or another task of this one")]
    Busy(String),
    /// It has not come through the events that were there before it, so it is not known from outside
    /// which ones its tables hold.
    #[error(
        "`{0}` is still on its way through the events that were there before it (see `eventfabric \
         projections status`); rebuild it when it is through"
    )]
    Backfilled(String),
    /// It sends requests.
    #[error(
        "`{0}` sends requests, and would send them all once more: there is nothing to rebuild; \
         `eventfabric dlq requeue` sends again what has failed"
    )]
    Reactor(String),
    /// A value that is out of range.
    #[error("{0}")]
    Value(String),
    /// Events that it would need are not there.
    #[error(
        "the events of {} are not in the log: attach these partitions first (`eventfabric partitions \
         attach`), or give the first event by --from", .0.join(", ")
    )]
    Detached(Vec<String>),
    /// The tables can't be made, or can't be replaced.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The version fails on real events before it has begun.
    #[error(
        "on trial with {events} events of the log it failed: {message}; the trial was rolled back"
    )]
    Trial {
        /// How many events it was given.
        events: usize,
        /// What happened.
        message: String,
        /// What was measured.
        trial: Box<Trial>,
    },
    /// The plugin refuses an event.
    #[error("it failed at position {position} ({event}): {message}")]
    Event {
        /// The place of the event in the log.
        position: i64,
        /// Its type, version and stream.
        event: String,
        /// What the plugin said.
        message: String,
    },
    /// The plugin is wrong, whatever the event.
    #[error("the plugin is wrong: {0}")]
    Plugin(String),
    /// The version could not be made the active one.
    #[error("its version could not be made the active one: {0}")]
    Activate(String),
    /// The projection is not what it was at the beginning.
    #[error("{0} meanwhile: the rebuild begins anew the next time")]
    Changed(&'static str),
    /// Another rebuild of the projection has begun anew, or has ended.
    #[error("another rebuild of the projection has taken over")]
    Gone,
    /// It was told to stop.
    #[error("it was stopped")]
    Stopped,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

codes!(RebuildError {
    Self::Unknown(_) => "projection-not-found",
    Self::Reactor(_) | Self::Relay(_) => "projection-state",
    Self::NotLoaded(_) => "version-not-loaded",
    Self::Busy(_) => "rebuild-busy",
    Self::Backfilled(_) => "backfill-unfinished",
    Self::Value(_) => "invalid-value",
    Self::Detached(_) => "events-detached",
    Self::Trial { .. } => "trial-failed",
    Self::Event { .. } => "rebuild-event-failed",
    Self::Plugin(_) => "plugin-failed",
    Self::Activate(_) => "activation-failed",
    Self::Changed(_) => "rebuild-changed",
    Self::Gone => "rebuild-taken-over",
    Self::Stopped => "stopping",
} else {
    Self::Sandbox(error) => error,
    Self::Store(error) => error,
});

impl From<sqlx::Error> for RebuildError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl RebuildError {
    /// Somebody else was in the way, and will not always be.
    pub(super) fn is_blocked(&self) -> bool {
        let error = match self {
            Self::Store(StoreError::Database(error)) => error,
            Self::Sandbox(SandboxError::Database { source, .. }) => source,
            _ => return false,
        };
        crate::db::is_blocked(error)
    }

    /// The server denied it, perhaps by what a session remembers of its memberships.
    pub(super) fn is_denied(&self) -> bool {
        match self {
            Self::Store(StoreError::Database(error)) => crate::db::is_denied(error),
            Self::Sandbox(error) => error.is_denied(),
            _ => false,
        }
    }

    /// In words for the table of rebuilds.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Store(StoreError::Database(error)) => describe(error),
            other => other.to_string(),
        }
    }
}
