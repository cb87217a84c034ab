//! When the work beside the queue is done: second and later attempts, and the events that were there
//! before a projection. One task asks for all projections of a host at once, and runs what is due for
//! several of them at the same time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::deliver::Interrupted;
use super::head::{Head, Hints, RECONNECT};
use super::retry::{Beside, Pace, Step};
use super::supervisor::unless_stopped;
use crate::backoff::Backoff;
use crate::projection::Mode;
use crate::store;

/// Without a hint, retries that another host or `dlq requeue` added are found after this time.
const LOOK: Duration = Duration::from_secs(1);
/// Hints of new events mostly concern others: for them, no two looks are closer together.
const GAP: Duration = Duration::from_millis(100);
/// Rows that are due, or held, and could not be had: look again after this time.
const BUSY: Backoff = Backoff { base: Duration::from_millis(50), cap: LOOK };

/// Does the work beside the queue, for all projections of a host, until cancelled.
pub(super) struct Retries {
    pub beside: Arc<Beside>,
    pub hints: watch::Receiver<Hints>,
    /// Told when a retry was added, or can have got something that it waited for.
    pub added: watch::Receiver<u64>,
    pub head: watch::Receiver<Head>,
    /// For reactors, and not for the others: they wait for servers, so their places are their own.
    pub reactors: bool,
    /// Transactions at the same time.
    pub lanes: usize,
}

/// Work of one kind for one projection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Job {
    Retry { projection: String, held: bool },
    Backfill { projection: String },
}

impl Job {
    /// What can't be done twice at the same time.
    fn key(&self) -> (String, bool) {
        match self {
            Self::Retry { projection, .. } => (projection.clone(), false),
            Self::Backfill { projection } => (projection.clone(), true),
        }
    }
}

/// What is known of the work of one kind for one projection.
#[derive(Debug, Default)]
struct Lane {
    pace: Pace,
    /// Waits for a place, or runs.
    taken: bool,
    /// Not before.
    rests_until: Option<Instant>,
    /// Rests in a row.
    rests: u32,
    /// It rests because of an error, which no hint mends.
    failing: bool,
}

type Ended = (Job, Pace, Result<Step, Interrupted>);

/// What the task has in hand.
#[derive(Default)]
struct Work {
    lanes: HashMap<(String, bool), Lane>,
    ready: VecDeque<Job>,
    running: JoinSet<Ended>,
    jobs: HashMap<Id, Job>,
}

impl Retries {
    pub(super) async fn run(mut self) {
        let stop = self.beside.stop.clone();
        let mut changes = self.beside.registry.changes();
        let mut work = Work::default();
        let mut errors = 0;
        let (mut looked, mut look_at) = (Instant::now(), Instant::now());
        while !stop.is_cancelled() {
            if Instant::now() >= look_at {
                looked = Instant::now();
                match self.look(&mut work).await {
                    Ok(next) => {
                        errors = 0;
                        look_at = looked + next.min(LOOK);
                    }
                    Err(error) => {
                        errors += 1;
                        let delay = RECONNECT.delay(errors);
                        tracing::warn!(%error, ?delay, "cannot look for retries");
                        look_at = looked + delay;
                    }
                }
            }
            self.begin(&mut work);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = work.running.join_next_with_id() => {
                    if self.ended(&mut work, ended) {
                        look_at = look_at.min(Instant::now());
                    }
                }
                _ = self.added.changed(), if errors == 0 => {
                    work.wake();
                    look_at = look_at.min(Instant::now());
                }
                _ = self.hints.changed(), if errors == 0 => {
                    work.wake();
                    look_at = look_at.min(looked + GAP);
                }
                _ = changes.changed() => {
                    work.wake();
                    look_at = look_at.min(Instant::now());
                }
                () = tokio::time::sleep_until(look_at) => {}
            }
        }
        // What has begun is finished.
        while work.running.join_next().await.is_some() {}
    }

    /// Asks, in one statement, what is due for any projection. Answers when to ask again.
    async fn look(&self, work: &mut Work) -> sqlx::Result<Duration> {
        let snapshot = self.beside.registry.snapshot();
        let mut names = Vec::new();
        let mut next = LOOK;
        for registered in snapshot.registered.values() {
            let name = &registered.name;
            let active = snapshot.current(name);
            // Both wait for other systems.
            let sends = match self.beside.relay(registered) {
                Some(_) => Some(true),
                None => active.map(|active| active.plugin.is_reactor()),
            };
            if registered.mode == Mode::Inline || !registered.runs() || sends != Some(self.reactors)
            {
                continue;
            }
            if registered.backfilling {
                next = next.min(work.offer(Job::Backfill { projection: name.clone() }));
            }
            if !work.lanes.get(&(name.clone(), false)).is_some_and(|lane| lane.taken) {
                names.push(name.clone());
            }
        }
        work.lanes.retain(|(name, _), lane| lane.taken || snapshot.registered.contains_key(name));
        if names.is_empty() {
            return Ok(next);
        }
        let due = store::due_retries(self.beside.store.pool(), &names);
        for due in unless_stopped(&self.beside.stop, due).await? {
            let backfilling =
                snapshot.registered.get(&due.projection).is_some_and(|known| known.backfilling);
            // What is held until the end of a backfill waits for that alone.
            let held = due.held && !backfilling;
            match due.next {
                Some(wait) if wait.is_zero() => {}
                _ if held => {}
                Some(wait) => {
                    next = next.min(wait);
                    continue;
                }
                None => continue,
            }
            next = next.min(work.offer(Job::Retry { projection: due.projection, held }));
        }
        Ok(next)
    }

    /// Begins what is ready, as far as there is room.
    fn begin(&self, work: &mut Work) {
        while work.running.len() < self.lanes {
            let Some(job) = work.ready.pop_front() else { return };
            let beside = self.beside.clone();
            let mut pace = work.lane(&job).pace;
            let head = self.head.borrow().position;
            let task = {
                let job = job.clone();
                async move {
                    let result = match &job {
                        Job::Retry { projection, held } => {
                            beside.retry(projection, *held, &mut pace).await
                        }
                        Job::Backfill { projection } => {
                            beside.backfill(projection, head, &mut pace).await
                        }
                    };
                    (job, pace, result)
                }
            };
            let id = work.running.spawn(task).id();
            work.jobs.insert(id, job);
        }
    }

    /// Notes how a job ended. Answers whether it is time for a look.
    fn ended(&self, work: &mut Work, ended: Result<(Id, Ended), JoinError>) -> bool {
        let (job, pace, result) = match ended {
            Ok((id, ended)) => {
                work.jobs.remove(&id);
                ended
            }
            Err(error) => {
                let Some(job) = work.jobs.remove(&error.id()) else { return true };
                tracing::error!(?job, %error, "a task beside the queue failed");
                let failure = error.to_string();
                let pace = work.lane(&job).pace;
                (job, pace, Err(Interrupted::Lost { projection: None, message: failure }))
            }
        };
        let lane = work.lane(&job);
        lane.taken = false;
        lane.pace = pace;
        match result {
            Ok(step) => {
                lane.pace.interrupted = 0;
                lane.failing = false;
                match step {
                    Step::Again => {
                        lane.rest_is_over();
                        work.offer(job);
                        false
                    }
                    Step::Done => {
                        lane.rest_is_over();
                        true
                    }
                    Step::Busy => {
                        let wait = lane.rest(BUSY);
                        tracing::trace!(?job, ?wait, "nothing to be had");
                        true
                    }
                }
            }
            Err(why) => {
                // Where nothing of a projection was at work, none of its events is to blame.
                if !matches!(why, Interrupted::Lost { projection: None, .. }) {
                    lane.pace.interrupted += 1;
                }
                // One at a time, until it is known which one is to blame.
                lane.pace.batch = 1;
                lane.failing = true;
                let delay = lane.rest(RECONNECT);
                match why {
                    Interrupted::Retry { projection, contended, failure } => {
                        if contended {
                            self.beside.contention.met(&projection);
                        }
                        tracing::info!(
                            projection,
                            ?delay,
                            error = failure.message,
                            "retries gave way and are tried again"
                        );
                    }
                    Interrupted::Lost { message, .. } => {
                        self.beside.losses.met();
                        tracing::warn!(
                            ?job,
                            ?delay,
                            error = message,
                            "retries were interrupted; they are tried again"
                        );
                    }
                }
                true
            }
        }
    }
}

impl Work {
    fn lane(&mut self, job: &Job) -> &mut Lane {
        self.lanes.entry(job.key()).or_default()
    }

    /// Has a job done unless it is being done, or rests. Answers when to look again for its sake.
    fn offer(&mut self, job: Job) -> Duration {
        let lane = self.lane(&job);
        if lane.taken {
            return LOOK;
        }
        let now = Instant::now();
        if let Some(at) = lane.rests_until.filter(|at| *at > now) {
            return at - now;
        }
        lane.taken = true;
        self.ready.push_back(job);
        LOOK
    }

    /// There may be something new: what rests because it got nothing looks again.
    fn wake(&mut self) {
        for lane in self.lanes.values_mut().filter(|lane| !lane.failing) {
            lane.rest_is_over();
        }
    }
}

impl Lane {
    fn rest(&mut self, backoff: Backoff) -> Duration {
        self.rests += 1;
        let delay = backoff.delay(self.rests);
        self.rests_until = Some(Instant::now() + delay);
        delay
    }

    fn rest_is_over(&mut self) {
        self.rests = 0;
        self.rests_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(projection: &str) -> Job {
        Job::Retry { projection: projection.to_owned(), held: false }
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_is_offered_once_and_not_while_it_rests() {
        let mut work = Work::default();
        work.offer(retry("mails"));
        work.offer(Job::Retry { projection: "mails".to_owned(), held: true });
        work.offer(Job::Backfill { projection: "mails".to_owned() });
        work.offer(retry("search"));
        assert_eq!(work.ready.len(), 3, "one retry of a projection at a time");

        let lane = work.lane(&retry("mails"));
        lane.taken = false;
        let rest = lane.rest(Backoff { base: LOOK, cap: LOOK });
        work.ready.clear();
        assert_eq!(work.offer(retry("mails")), rest);
        assert!(work.ready.is_empty());
        tokio::time::advance(rest).await;
        work.offer(retry("mails"));
        assert_eq!(work.ready.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_ends_the_rest_of_what_got_nothing_and_not_of_what_fails() {
        let mut work = Work::default();
        for (name, failing) in [("idle", false), ("failing", true)] {
            let lane = work.lane(&retry(name));
            lane.rest(Backoff { base: LOOK, cap: LOOK });
            lane.rests_until = Some(Instant::now() + LOOK);
            lane.failing = failing;
        }
        work.wake();
        work.offer(retry("idle"));
        work.offer(retry("failing"));
        assert_eq!(work.ready, [retry("idle")]);
    }
}
