//! Delivers many events in rounds, and looks after each round what they have left behind: the sizes
//! of the tables that churn, and the pages that a claim has to touch. Time says little on a machine
//! that others use, pages do.

#![forbid(unsafe_code)]

mod round;
mod sample;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use eventfabric::backoff::Backoff;
use eventfabric::runner::{AsyncConfig, Host, HostConfig, RunnerConfig, deploy};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

pub use sample::{Sample, judge};

/// How much is delivered, and on what.
pub struct Soak {
    /// An event is delivered twice: to an async projection and to a catch-up projection.
    pub deliveries: i64,
    /// In so many rounds, of which the first and the last one are compared. One more goes before them, in
    /// which the tables reach the size that they work with.
    pub rounds: i64,
    /// How the host connects to an empty, migrated database.
    pub owner: PgConnectOptions,
    /// A superuser's way to the same.
    pub superuser: PgConnectOptions,
    /// The folder of the built guests.
    pub guests: PathBuf,
    /// Where compiled plugins are kept.
    pub cache_dir: Option<PathBuf>,
}

/// One event in so many can't be handled by the async projection: it goes by way of the retries to the
/// dead letters.
pub(crate) const POISON: i64 = 1000;

impl Soak {
    /// Delivers everything, and tells how it stood after each round, the one before the first included.
    ///
    /// # Errors
    /// When something is not delivered, or the database can't be used.
    pub async fn run(&self, tell: impl Fn(&Sample)) -> anyhow::Result<Vec<Sample>> {
        ensure!(self.rounds >= 2, "a first and a last round are compared");
        let eyes =
            PgPoolOptions::new().max_connections(2).connect_lazy_with(self.superuser.clone());
        self.deploy().await?;
        let mut samples = Vec::new();
        for round in 0..=self.rounds {
            let events = self.deliveries / 2 / self.rounds;
            let host = Host::open(self.owner.clone(), self.config(), None).await?;
            round::deliver(host, &eyes, round * events, events).await?;
            let sample = sample::take(&self.owner, &eyes, round * events * 2).await?;
            tell(&sample);
            samples.push(sample);
        }
        self.account(&eyes).await?;
        Ok(samples)
    }

    fn config(&self) -> HostConfig {
        let backoff = Backoff {
            base: std::time::Duration::from_millis(20),
            cap: std::time::Duration::from_millis(100),
        };
        HostConfig {
            runner: RunnerConfig {
                r#async: AsyncConfig { max_attempts: 2, backoff, ..AsyncConfig::default() },
                ..RunnerConfig::default()
            },
            cache_dir: self.cache_dir.clone(),
            ..HostConfig::default()
        }
    }

    async fn deploy(&self) -> anyhow::Result<()> {
        let host = Host::open(self.owner.clone(), self.config(), None).await?;
        for guest in ["torture_async", "torture_catchup"] {
            let path = self.guests.join(format!("{guest}.wasm"));
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            deploy(host.registry(), bytes.into(), "the soak", 0).await?;
        }
        host.close().await;
        Ok(())
    }

    /// Everything was delivered once, or is a dead letter.
    async fn account(&self, eyes: &PgPool) -> anyhow::Result<()> {
        let count =
            async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(eyes).await;
        let events = count("SELECT count(*) FROM eventfabric.events").await?;
        let letters = count("SELECT count(*) FROM eventfabric.outbox_dead_letters").await?;
        let applied = count("SELECT count(DISTINCT position) FROM torture_async.applied").await?;
        let twice = count("SELECT count(*) FROM torture_async.applied").await? - applied;
        let followed = count("SELECT count(*) FROM torture_catchup.applied").await?;
        ensure!(
            applied + letters == events && followed == events && twice == 0,
            "{events} events: {applied} applied and {letters} dead by the async projection ({twice} \
             twice), {followed} by the catch-up projection"
        );
        Ok(())
    }
}
