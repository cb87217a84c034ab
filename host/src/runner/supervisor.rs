//! Starts the tasks of a host, notices how they end, and starts those again that should not have.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;

/// Between the restarts of a task that ended by itself.
const RESTART: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(10) };

/// Waits for the database, but no longer than the host is to run: a database that is away would
/// keep it for the time-out of its pool. What has begun is finished; this is for beginning.
pub(super) async fn unless_stopped<T, E: From<sqlx::Error>>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        biased;
        done = work => done,
        () = stop.cancelled() => Err(sqlx::Error::PoolClosed.into()),
    }
}

/// A task counts as failing for this long after it ended: longer than any delay before its restart,
/// so that one which fails again and again counts all the time.
const FAILING: Duration = Duration::from_secs(15);

/// What the tasks of a host have been up to, for who asks from outside.
#[derive(Debug, Default)]
pub(super) struct TaskHealth {
    ended: Mutex<BTreeMap<String, Instant>>,
}

impl TaskHealth {
    fn ended(&self, task: &str) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.insert(task.to_owned(), Instant::now());
    }

    /// The tasks that ended of late when they should not have.
    pub(super) fn failing(&self) -> Vec<String> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, at| at.elapsed() < FAILING);
        ended.keys().cloned().collect()
    }
}

/// A task that ran for so long has recovered from what made it end before.
const RECOVERED: Duration = Duration::from_secs(60);

/// Runs a task until `stop` is cancelled. One that ends before, by a panic or otherwise, is started
/// again.
pub(super) async fn supervise<F>(
    name: &str,
    health: &TaskHealth,
    stop: &CancellationToken,
    make: impl Fn() -> F + Send,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut restarts = 0;
    loop {
        let begun = Instant::now();
        let mut task = JoinSet::new();
        task.spawn(make());
        let ended = task.join_next().await;
        if stop.is_cancelled() {
            return;
        }
        restarts = if begun.elapsed() < RECOVERED { restarts + 1 } else { 1 };
        health.ended(name);
        let delay = RESTART.delay(restarts);
        match ended {
            Some(Err(error)) => {
                tracing::error!(task = name, %error, ?delay, "a task failed; it is restarted");
            }
            _ => tracing::error!(task = name, ?delay, "a task ended; it is restarted"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// The tasks of a host.
pub(super) struct Supervisor {
    tasks: JoinSet<String>,
    health: Arc<TaskHealth>,
    stop: CancellationToken,
}

impl Supervisor {
    pub(super) fn new(health: Arc<TaskHealth>, stop: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), health, stop }
    }

    /// Starts a task that is to run until the host stops. One that ends before, by a panic or
    /// otherwise, is started again.
    pub(super) fn start<F>(
        &mut self,
        name: impl Into<String>,
        make: impl Fn() -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (name, health, stop) = (name.into(), self.health.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            supervise(&name, &health, &stop, make).await;
            name
        });
    }

    /// Waits until all tasks have finished what they were doing.
    pub(super) async fn finish(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(name) => tracing::debug!(task = name, "ended"),
                Err(error) => tracing::error!(%error, "a task was lost"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again() {
        let stop = CancellationToken::new();
        let health = Arc::new(TaskHealth::default());
        let mut supervisor = Supervisor::new(health.clone(), stop.clone());
        let starts = Arc::new(AtomicU32::new(0));
        let (counter, token) = (starts.clone(), stop.clone());
        supervisor.start("restless", move || {
            let (counter, token) = (counter.clone(), token.clone());
            async move {
                match counter.fetch_add(1, Ordering::SeqCst) {
                    0 => panic!("on purpose"),
                    1 => {}
                    _ => token.cancel(),
                }
            }
        });
        supervisor.finish().await;
        assert_eq!(starts.load(Ordering::SeqCst), 3);
        assert_eq!(health.failing(), ["restless"]);
        tokio::time::advance(FAILING).await;
        assert!(health.failing().is_empty());
    }
}
