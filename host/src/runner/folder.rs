//! Deploys what is in a folder, and what changes there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::canary::Canary;
use super::deploy::{DeployError, Deployed, deploy_found};
use super::head::RECONNECT;
use crate::plugin::{self, Found, Item, Plugin, Registry, Settle, Version, short};
use crate::sandbox::{SandboxError, SqlErrorKind};
use crate::store::StoreError;

/// Files that are loaded early and not settled yet, before those that went away are forgotten.
const EARLY: usize = 16;
/// How often to look whether one of two files with the same plugin is gone.
const TWINS: Duration = Duration::from_secs(2);

/// A folder whose components are deployed.
pub(super) struct Folder {
    dir: PathBuf,
    stop: CancellationToken,
    registry: Arc<Registry>,
    found: mpsc::Receiver<Item>,
    canary: Canary,
    /// What could not be deployed because the database was away.
    waiting: BTreeMap<PathBuf, Found>,
    /// Failed attempts at what waits.
    failures: u32,
    /// Which file a plugin comes from.
    homes: BTreeMap<String, PathBuf>,
    /// Files with a plugin that another file has, too. Deployed when that one is gone.
    twins: BTreeMap<PathBuf, Found>,
    /// Files that have changed and not settled yet, being loaded on the chance that they stay so.
    early: BTreeMap<PathBuf, (Version, JoinHandle<Option<Plugin>>)>,
}

impl Folder {
    /// Watches a folder until `stop` is cancelled.
    pub(super) fn watch(
        dir: PathBuf,
        registry: Arc<Registry>,
        canary: Canary,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let found = watch(&dir, &stop)?;
        Ok(Self {
            dir,
            stop,
            registry,
            found,
            canary,
            waiting: BTreeMap::new(),
            failures: 0,
            homes: BTreeMap::new(),
            twins: BTreeMap::new(),
            early: BTreeMap::new(),
        })
    }

    /// Deploys every file that is there.
    pub(super) async fn deploy_what_is_there(&mut self) {
        while let Some(item) = self.found.recv().await {
            if matches!(item, Item::Initial) {
                return;
            }
            self.item(item).await;
        }
    }

    /// Deploys what changes, until the watching ends: by `stop`, or because it was lost. Then the next
    /// call watches anew.
    pub(super) async fn follow(&mut self) {
        if self.found.is_closed() && self.found.is_empty() && !self.stop.is_cancelled() {
            match watch(&self.dir, &self.stop) {
                Ok(found) => self.found = found,
                Err(error) => return tracing::error!("{error:#}"),
            }
        }
        loop {
            let delay = RECONNECT.delay(self.failures);
            tokio::select! {
                item = self.found.recv() => match item {
                    Some(item) => self.item(item).await,
                    None => return,
                },
                () = tokio::time::sleep(delay), if !self.waiting.is_empty() => {
                    for found in std::mem::take(&mut self.waiting).into_values() {
                        self.deploy(found).await;
                    }
                }
                () = tokio::time::sleep(TWINS), if !self.twins.is_empty() => {
                    for found in std::mem::take(&mut self.twins).into_values() {
                        // Where the other file is there still, it is put back.
                        self.deploy(found).await;
                    }
                }
            }
        }
    }

    async fn item(&mut self, item: Item) {
        match item {
            Item::Initial => {}
            Item::Early(found) => {
                // One at a time: a file that changes all the time must not keep the compiler busy.
                if self.early.get(&found.path).is_some_and(|(_, load)| !load.is_finished()) {
                    return;
                }
                if self.early.len() >= EARLY {
                    // Of files that went away before they had settled.
                    self.early.retain(|_, (_, load)| !load.is_finished());
                }
                let runtime = self.registry.runtime().clone();
                // What is wrong with it is said when it has settled.
                let load = async move { runtime.load(found.bytes).await.ok() };
                self.early.insert(found.path, (found.sha, tokio::spawn(load)));
            }
            Item::Unreadable(error) => {
                self.waiting.remove(&error.path);
                tracing::error!("not deployed: {error}");
            }
            Item::Found(found) => {
                self.twins.remove(&found.path);
                self.waiting.remove(&found.path);
                // Told once for each content of the file.
                if let Some((plugin, other)) = self.deploy(found).await {
                    tracing::warn!(
                        plugin,
                        file = file(&other.0),
                        active = file(&other.1),
                        "not deployed: both files are the same plugin, and the one that was found \
                         first stays; remove one of the two"
                    );
                }
            }
        }
    }

    /// The file that has this plugin already, where it is another one.
    fn twin_of(&mut self, plugin: &str, path: &Path) -> Option<PathBuf> {
        self.homes.retain(|name, home| name == plugin || home != path);
        let home = self.homes.get(plugin).filter(|home| *home != path && home.exists()).cloned();
        if home.is_none() {
            self.homes.insert(plugin.to_owned(), path.to_owned());
        }
        home
    }

    async fn load_and_deploy(&mut self, found: &Found) -> Result<Outcome, DeployError> {
        let early = match self.early.remove(&found.path) {
            Some((sha, load)) if sha == found.sha => load.await.ok().flatten(),
            _ => None,
        };
        let plugin = match early {
            Some(plugin) => plugin,
            None => self.registry.runtime().load(found.bytes.clone()).await?,
        };
        let name = plugin.description.name.clone();
        if let Some(home) = self.twin_of(&name, &found.path) {
            return Ok(Outcome::Twin(name, home));
        }
        let (bytes, source) = (found.bytes.clone(), file(&found.path));
        deploy_found(&self.registry, plugin.into(), bytes, &source, &self.canary)
            .await
            .map(|deployed| Outcome::Deployed(Box::new(deployed)))
    }

    /// Deploys a file. Answers the plugin with the two files that have it, where it was refused as
    /// the second one.
    async fn deploy(&mut self, found: Found) -> Option<(String, (PathBuf, PathBuf))> {
        let result = self.load_and_deploy(&found).await;
        let (file, version) = (file(&found.path), found.sha);
        match result {
            Ok(Outcome::Twin(plugin, home)) => {
                let path = found.path.clone();
                self.twins.insert(path.clone(), found);
                return Some((plugin, (path, home)));
            }
            Ok(Outcome::Deployed(deployed)) if deployed.unchanged => {
                tracing::info!(
                    plugin = deployed.name,
                    version = short(&deployed.version),
                    "active already"
                );
            }
            Ok(Outcome::Deployed(deployed)) => {
                tracing::info!(plugin = deployed.name, version = short(&deployed.version),
                    before = deployed.before.as_deref().map(short), file, tried = deployed.tried,
                    took = ?deployed.took, since_settled = ?found.settled_at.elapsed(), "deployed");
            }
            Err(error) if is_outage(&error) => {
                self.failures += 1;
                self.waiting.insert(found.path.clone(), found);
                tracing::warn!(file, %version, "not deployed yet, it is tried again: {error}");
                return None;
            }
            Err(error) => {
                tracing::error!(
                    file,
                    %version,
                    "not deployed; what was active stays active: {error}"
                );
            }
        }
        self.failures = 0;
        None
    }
}

fn watch(dir: &Path, stop: &CancellationToken) -> anyhow::Result<mpsc::Receiver<Item>> {
    plugin::watch(dir.to_owned(), Settle::default(), stop.clone())
        .with_context(|| format!("the plugin folder {} cannot be watched", dir.display()))
}

/// What became of a file that could be loaded.
enum Outcome {
    Deployed(Box<Deployed>),
    /// Another file has this plugin.
    Twin(String, PathBuf),
}

/// Whether the database is to blame, so that the same file can be deployed later.
fn is_outage(error: &DeployError) -> bool {
    let database = match error {
        DeployError::Sandbox(SandboxError::Sql(error)) => {
            return matches!(error.kind, SqlErrorKind::Connection | SqlErrorKind::Retryable);
        }
        DeployError::Sandbox(SandboxError::Database { source, .. }) => Some(source),
        DeployError::Store(StoreError::Database(error)) => Some(error),
        DeployError::Registry(error) => error.chain().find_map(|cause| cause.downcast_ref()),
        _ => None,
    };
    database.is_some_and(can_pass)
}

fn can_pass(error: &sqlx::Error) -> bool {
    // 25006: read-only for now; the others are locks and races.
    let passing = ["25006", "40001", "40P01", "55P03"];
    crate::db::is_connection_lost(error)
        || error
            .as_database_error()
            .and_then(|db| db.code())
            .is_some_and(|code| passing.contains(&code.as_ref()))
}

fn file(path: &Path) -> String {
    path.display().to_string()
}
