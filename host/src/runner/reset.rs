//! Having a catch-up projection read the log anew, or leave a part of it out.

use std::time::Duration;

use sqlx::PgPool;

use crate::code::codes;
use crate::db::Tx;
use crate::plugin::{self, Start};
use crate::projection::Mode;
use crate::sandbox::{Sandbox, SandboxError};
use crate::store::{self, rebuild};

/// How long to wait for the batches that are on their way, and for who reads the tables.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why nothing was reset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResetError {
    /// There is no projection of that name.
    #[error("there is no projection `{0}` (see `eventfabric projections list`)")]
    Unknown(String),
    /// It has no checkpoint that could be moved.
    #[error(
        "the projection `{0}` is {1}, and has no place in the log that could be moved; \
         `eventfabric projections rebuild {0}` makes its tables anew"
    )]
    Mode(String, Mode),
    /// Its tables could not be emptied.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The database failed.
    #[error("{}", store::describe(.0))]
    Database(#[from] sqlx::Error),
}

codes!(ResetError {
    Self::Unknown(_) => "projection-not-found",
    Self::Mode(..) => "projection-state",
} else {
    Self::Sandbox(error) => error,
    Self::Database(error) => error,
});

/// Moves the checkpoints of a catch-up projection, of all tenants, and empties its tables where `truncate`
/// says so, in one transaction. A rebuild that has begun is forgotten, and so is which events tables hold that
/// are kept. Answers the position after which
/// the projection goes on; never with an event before the one that it was registered to start with.
///
/// # Errors
/// See [`ResetError`].
pub async fn reset(
    pool: &PgPool,
    sandbox: &Sandbox,
    name: &str,
    to: Start,
    truncate: bool,
) -> Result<i64, ResetError> {
    let registered = plugin::registered(pool).await?;
    let row = registered.into_iter().find(|row| row.name == name);
    let row = row.ok_or_else(|| ResetError::Unknown(name.to_owned()))?;
    if row.mode != Mode::CatchUp {
        return Err(ResetError::Mode(name.to_owned(), row.mode));
    }
    let tenants = store::tenants(pool).await?;
    let mut tx = Tx::begin(pool, PATIENCE).await?;
    let place = to.position(&mut *tx.conn()).await?;
    // No host goes on with what it knew before.
    plugin::renew(&mut *tx.conn(), name).await?;
    rebuild::forget(&mut *tx.conn(), name).await?;
    rebuild::forget_kept(&mut *tx.conn(), name).await?;
    let position = store::reset_checkpoints(tx.conn(), name, place, &tenants).await?;
    if truncate && !row.is_relay() {
        sandbox.empty(tx.conn(), name).await?;
    }
    tx.commit().await?;
    Ok(position)
}
