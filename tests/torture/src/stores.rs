//! The stores of the writers, in this process: with the inline plugins, as a program that uses the
//! library has them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use eventfabric::plugin::Limits;
use eventfabric::projection::Mode;
use eventfabric::runner::{Host, HostConfig};
use eventfabric::store::EventStore;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::world::World;

/// Hosts that have not deployed their guests in this time never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ways to append.
#[derive(Clone)]
pub struct Stores {
    grouped: Arc<Host>,
    alone: Arc<Host>,
    /// For those who do not use the library.
    pub plain: PgPool,
}

impl Stores {
    /// Waits until the hosts have migrated the database and deployed so many guests, so that each
    /// guest gets every event.
    pub async fn open(world: &World, guests: usize) -> anyhow::Result<Self> {
        let start = Instant::now();
        let deployed = "SELECT count(*)::int FROM eventfabric.projections";
        while sqlx::query_scalar(deployed).fetch_one(&world.eyes).await.unwrap_or(0) < guests as i32
        {
            anyhow::ensure!(start.elapsed() < PATIENCE, "the hosts do not deploy their guests");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let cache: PathBuf = eventfabric_testdb::target_dir().join("it-cache/eventfabric");
        let config = HostConfig {
            limits: Limits { instances: 16, ..Limits::default() },
            cache_dir: Some(cache),
            ..HostConfig::default()
        };
        let runtime = config.runtime()?;
        let open = async |group_commit| {
            let config = HostConfig { group_commit, ..config.clone() };
            let host = Host::open_on(runtime.clone(), world.owner(), config, Some(Mode::Inline));
            host.await.map(Arc::new).context("the writers' store")
        };
        let plain = PgPoolOptions::new().max_connections(6).connect_lazy_with(world.owner());
        Ok(Self { grouped: open(true).await?, alone: open(false).await?, plain })
    }

    /// The store of one writer.
    pub fn of(&self, number: usize) -> EventStore {
        let host = if number.is_multiple_of(2) { &self.grouped } else { &self.alone };
        host.store().clone()
    }

    /// Ends its connections.
    pub async fn close(&self) {
        tokio::join!(self.grouped.close(), self.alone.close(), self.plain.close());
    }
}
