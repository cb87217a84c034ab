//! A host in this process, with guests that work in the way that is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use eventfabric::plugin::PluginConfig;
use eventfabric::runner::{Host, HostConfig, deploy};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::guest;
use crate::place::Database;

/// What makes no progress for this time is taken never to do so.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How far the catch-up projections are, all together.
pub const CHECKPOINTS: &str =
    "SELECT sum(last_global_position)::bigint FROM eventfabric.projection_checkpoints";

/// The default settings, and guests whose way is set.
pub fn config(guest: &str, count: usize, way: &str) -> HostConfig {
    let way: PluginConfig = Arc::new(BTreeMap::from([("way".to_owned(), way.to_owned())]));
    let plugins = (0..count).map(|number| (guest::name(guest, number), way.clone())).collect();
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench-cache");
    HostConfig { plugins, cache_dir: Some(cache), ..HostConfig::default() }
}

/// Deploys guests, so that hosts that are opened later have them.
pub async fn install(db: &Database, dir: &Path, guest: &str, count: usize) -> anyhow::Result<()> {
    let host = Host::open(db.owner.clone(), config(guest, count, "nothing"), None).await?;
    for number in 0..count {
        let bytes = guest::numbered(dir, guest, number)?;
        deploy(host.registry(), bytes, "the benchmark", 0).await?;
    }
    host.close().await;
    Ok(())
}

/// One that runs.
pub struct Running {
    /// The host.
    pub host: Arc<Host>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Opens a host and runs its projections.
    pub async fn start(db: &Database, config: HostConfig) -> anyhow::Result<Self> {
        Self::start_with(db, config, None).await
    }

    /// The same with a folder that it watches.
    pub async fn start_with(
        db: &Database,
        config: HostConfig,
        folder: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let host = Arc::new(Host::open(db.owner.clone(), config, None).await?);
        let stop = CancellationToken::new();
        let (running, token) = (host.clone(), stop.clone());
        let task = tokio::spawn(async move { running.run(folder, token).await });
        Ok(Self { host, stop, task })
    }

    /// Stops it when its batches in hand are finished.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.context("the host")??;
        self.host.close().await;
        Ok(())
    }
}

/// Waits until a query answers `end`, and tells how many a second it went up from the first time
/// that it was seen to move: what a host does before its first batch is no part of it.
pub async fn rate(db: &Database, progress: &str, end: i64) -> anyhow::Result<f64> {
    let zero = db.number(progress).await?;
    let (from, start) = moved(db, progress, zero).await?;
    let (mut now, mut at) = (from, start);
    while now < end {
        (now, at) = moved(db, progress, now).await?;
    }
    anyhow::ensure!(now > from, "it was over before it could be measured");
    Ok((now - from) as f64 / (at - start).as_secs_f64())
}

/// Waits until a query answers `end`.
pub async fn until(db: &Database, progress: &str, end: i64) -> anyhow::Result<()> {
    let mut now = db.number(progress).await?;
    while now < end {
        now = moved(db, progress, now).await?.0;
    }
    Ok(())
}

/// Waits until a query answers something else, and tells what and when.
async fn moved(db: &Database, progress: &str, before: i64) -> anyhow::Result<(i64, Instant)> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let now = db.number(progress).await?;
        if now != before {
            return Ok((now, Instant::now()));
        }
        tokio::time::sleep(LOOK).await;
    }
    let state = "SELECT string_agg(projection_name || ' is ' || state || ' ' ||
                                   coalesce(last_error, ''), '; ')
                 FROM eventfabric.projections";
    let state: Option<String> = sqlx::query_scalar(state).fetch_one(&db.eyes).await?;
    bail!("it stands at {before}: {}", state.unwrap_or_default())
}
