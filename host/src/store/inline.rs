//! Where inline projections hook into an append. The store does not know what they are.

use futures::future::BoxFuture;

use super::Deadline;
use crate::code::codes;
use crate::db::Tx;
use crate::event::Event;

/// Runs projections in the transaction of an append.
pub trait Inline: Send + Sync {
    /// The set of inline plugins that [`Inline::run`] would run, as `store/sql/mode_epoch.sql`
    /// numbers it, and whether it is empty.
    fn epoch(&self) -> Epoch;

    /// Reads the set anew, after an append has found that it has changed.
    fn refresh(&self) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Hands the events to the projections, which have what is left of the append's own time. After a
    /// failure the transaction can only be rolled back, or is gone.
    fn run<'a>(
        &'a self,
        tx: &'a mut Tx,
        epoch: i64,
        events: &'a [Event],
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<(), InlineFailure>>;
}

/// Which inline plugins there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// Changes with every activation.
    pub number: i64,
    /// No inline plugin is active.
    pub is_empty: bool,
}

impl Default for Epoch {
    /// No inline plugin at all: what a store without [`Inline`] knows.
    fn default() -> Self {
        Self { number: 0, is_empty: true }
    }
}

/// An inline projection refused an event. The append is rolled back.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "inline plugin {plugin} {version} failed on {what}: {message}; nothing was appended",
    what = event.as_deref().unwrap_or("the append")
)]
pub struct InlineFailure {
    /// The projection.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The event, as `type at version n of stream`, where it is known.
    pub event: Option<String>,
    /// What went wrong.
    pub message: String,
    /// The same append can succeed when it is tried again.
    pub retryable: bool,
    /// Another set of inline plugins became active meanwhile: the append is to be made anew.
    pub outdated: bool,
}

codes!(InlineFailure {
    Self { retryable: true, .. } => "busy",
    Self { retryable: false, .. } => "refused-by-projection",
});
