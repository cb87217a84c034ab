//! Doing a unit of work again after a conflict.

use std::time::Duration;

use super::error::SessionError;
use super::factory::SessionFactory;
use super::save::Saved;
use super::unit::Session;
use crate::backoff::Backoff;

/// How often and when a unit of work is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Tries in all, at most; at least one is made.
    pub attempts: u32,
    /// The delays between them.
    pub backoff: Backoff,
}

impl Default for Retry {
    fn default() -> Self {
        let backoff = Backoff { base: Duration::from_millis(5), cap: Duration::from_millis(500) };
        Self { attempts: 10, backoff }
    }
}

impl SessionFactory {
    /// Does a unit of work in a new session and saves it. When another writer was there first, all of
    /// it is done again in another new session, after a delay, as often as [`Retry`] allows; so the
    /// work should have no effect outside of its session, and leave the saving to this.
    ///
    /// # Errors
    /// That of the work, and that of the save: the last conflict where all tries met one.
    pub async fn with_retry<T, E>(
        &self,
        mut work: impl AsyncFnMut(&mut Session) -> Result<T, E>,
    ) -> Result<(T, Saved), E>
    where
        E: From<SessionError>,
    {
        let mut attempts = 1;
        loop {
            let mut session = self.session();
            let value = work(&mut session).await?;
            match session.save().await {
                Ok(saved) => return Ok((value, saved)),
                Err(error) if error.is_conflict() && attempts < self.retry.attempts => {
                    let delay = self.retry.backoff.delay(attempts);
                    tracing::debug!(%error, attempts, ?delay, "a unit of work is done again");
                    tokio::time::sleep(delay).await;
                    attempts += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
