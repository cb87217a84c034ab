//! The time that an append has as a whole.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::store::StoreError;

/// What an append has where nothing else is said.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Beyond its time an append waits this long for the server's own answer, which says that nothing was
/// written. (The server keeps the time of each statement by itself.)
const ANSWER: Duration = Duration::from_secs(5);

/// When an append must be done. What is left of its time is all that anything in it may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    limit: Duration,
    at: Instant,
}

impl Deadline {
    /// An append that begins now.
    pub fn of(limit: Duration) -> Self {
        Self { limit, at: Instant::now() + limit }
    }

    /// The whole time of the append.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Nothing is left.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// The same append, with no more than a part of what is left.
    pub(super) fn share(&self, part: u32) -> Self {
        Self { limit: self.limit, at: Instant::now() + self.left() / part }
    }

    /// The earlier of two.
    pub(super) fn earlier(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// What a statement may take; never 0, which would mean for ever.
    pub(super) fn for_statement(&self) -> Duration {
        self.left().max(Duration::from_millis(1))
    }

    /// The same as `lock_timeout` has it.
    pub(super) fn patience(&self) -> String {
        self.for_statement().as_millis().min(i32::MAX as u128).to_string()
    }

    /// Does something that can be given up at any moment.
    pub(super) async fn within<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        let done = tokio::time::timeout(self.left(), work).await;
        done.map_err(|_| self.passed(doing))
    }

    /// Waits for the answer to a statement that ends by itself when the time is over: the error of one
    /// that does not come, and of which it is not known what became of it.
    pub(super) async fn answer<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        let done = tokio::time::timeout(self.left() + ANSWER, work).await;
        done.map_err(|_| StoreError::AppendUnanswered { limit: self.limit })
    }

    /// The error of an append that was not made in time.
    pub(super) fn passed(&self, doing: &'static str) -> StoreError {
        StoreError::AppendTimedOut { limit: self.limit, doing }
    }

    /// What an error of the database says, where the time has run out.
    pub(super) fn judge(&self, error: StoreError) -> StoreError {
        let StoreError::Database(database) = &error else { return error };
        let code = database.as_database_error().and_then(|error| error.code());
        // A statement or a lock that took longer than it was allowed to, which was what was left.
        match code.as_deref() {
            Some("57014" | "55P03") if self.left() < Duration::from_millis(100) => {
                self.passed("it waited for another transaction that holds its streams")
            }
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up() {
        let deadline = Deadline::of(Duration::from_secs(2));
        assert_eq!(deadline.within("x", async { 7 }).await.unwrap(), 7);
        let error = deadline.within("it waited", std::future::pending::<()>()).await.unwrap_err();
        assert!(error.to_string().contains("within 2s"), "{error}");
        assert!(error.to_string().contains("it waited"), "{error}");
        let error = deadline.answer(std::future::pending::<()>()).await.unwrap_err();
        assert!(matches!(error, StoreError::AppendUnanswered { .. }), "{error}");
    }

    #[test]
    fn a_share_is_a_part_of_what_is_left() {
        let deadline = Deadline::of(Duration::from_secs(40));
        let share = deadline.share(4);
        assert!(share.left() <= Duration::from_secs(10) && !share.is_over());
        assert_eq!(share.limit(), Duration::from_secs(40));
        assert_eq!((deadline.earlier(share).at, share.earlier(deadline).at), (share.at, share.at));
    }
}
