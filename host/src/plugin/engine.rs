//! The engine and what a plugin goes through before it runs.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::Semaphore;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
};

use super::bindings::{Projection, ProjectionPre};
use super::host::State;
use super::instance::{self, Plugin};
use super::limits::Limits;
use super::version::Version;
use super::{LoadError, describe, inspect, wasi};
use crate::upcast::Upcasters;

/// How often plugins are looked at: whether their time is over, or others wait for the thread.
const TICK: Duration = Duration::from_millis(10);

/// What the host's own functions, sqlx among them, need of the stack of an instance.
const HOST_STACK: usize = 2 * 1024 * 1024;

/// Core instances, tables and memories of one component. Python is made of some dozens.
const CORE_INSTANCES: u32 = 100;
const TABLES: u32 = 60;
const MEMORIES: u32 = 4;

/// Loads plugins, and holds what all of them share. A clone is the same runtime.
#[derive(Clone)]
pub struct Runtime(pub(super) Arc<Shared>, Upcasters);

pub(super) struct Shared {
    pub engine: Engine,
    pub linker: Linker<State>,
    pub limits: Arc<Limits>,
    pub slots: Semaphore,
}

impl Runtime {
    /// Sets up the engine. Compiled plugins are kept in `cache_dir`, which only the host may read
    /// and write: what is in there is run as native code. Hosts on several databases may share it.
    pub fn new(cache_dir: Option<PathBuf>, limits: Limits) -> anyhow::Result<Self> {
        limits.check()?;
        let cache = cache_dir.as_deref().map(open_cache).transpose()?;
        let (engine, linker) = set_up(&limits, cache).map_err(plain)?;
        start_ticking(&engine)?;
        let slots = Semaphore::new(limits.instances as usize);
        let limits = Arc::new(limits);
        Ok(Self(Arc::new(Shared { engine, linker, limits, slots }), Upcasters::new()))
    }

    /// The same runtime, whose plugins from now on get events that these have lifted.
    #[must_use]
    pub fn with_upcasters(self, upcasters: Upcasters) -> Self {
        Self(self.0, upcasters)
    }

    /// The limits of its plugins.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Makes a plugin of the bytes of a component: checks them, compiles them on other threads
    /// (or finds them in the cache), and asks the plugin to describe itself.
    pub async fn load(&self, bytes: Arc<[u8]>) -> Result<Plugin, LoadError> {
        let limit = self.0.limits.component_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge { bytes: bytes.len(), limit });
        }
        let engine = self.0.engine.clone();
        let compiled = tokio::task::spawn_blocking(move || {
            let imports = inspect::inspect(&bytes)?;
            let started = Instant::now();
            let component = Component::from_binary(&engine, &bytes)
                .map_err(|error| LoadError::Compile(format!("{error:#}")))?;
            Ok((Version::of(&bytes), imports, component, started.elapsed()))
        });
        let (version, imports, component, compile_time) = compiled
            .await
            .map_err(|error| LoadError::Compile(format!("the compiler gave up: {error}")))??;
        // A function of the right name but of another type is noticed here.
        let pre = (self.0.linker.instantiate_pre(&component))
            .and_then(ProjectionPre::new)
            .map_err(|error| LoadError::Contract(format!("{error:#}")))?;
        let description = instance::describe(&self.0, &pre, version).await?;
        let description = describe::check(description)?;
        let limits = Arc::new(self.0.limits.of(&description.name));
        let (shared, upcasters) = (self.0.clone(), self.1.clone());
        Ok(Plugin { version, description, imports, compile_time, pre, limits, shared, upcasters })
    }
}

fn set_up(limits: &Limits, cache: Option<Cache>) -> wasmtime::Result<(Engine, Linker<State>)> {
    let engine = Engine::new(&config(limits, cache.clone(), true)).or_else(|error| {
        // Where address space is limited (ulimit -v), instances can still be made one by one.
        tracing::warn!(%error, "no room for a pool of plugin instances: they start slower");
        Engine::new(&config(limits, cache, false))
    })?;
    let mut linker = Linker::new(&engine);
    wasi::add_to_linker(&mut linker)?;
    Projection::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok((engine, linker))
}

fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into_boxed_dyn_error())
}

fn config(limits: &Limits, cache: Option<Cache>, pool: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        .async_stack_size(limits.stack_bytes + HOST_STACK)
        .parallel_compilation(true)
        .memory_init_cow(true)
        .cache(cache)
        // The same log gives the same tables, on whatever processor.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    if pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(limits)));
    }
    config
}

fn pooling(limits: &Limits) -> PoolingAllocationConfig {
    let instances = limits.instances;
    let mut pool = PoolingAllocationConfig::default();
    // Address space only: pages are taken when they are written to.
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_tables_per_component(TABLES)
        .max_memories_per_component(MEMORIES)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(instances);
    pool
}

/// Native code is read from there: nobody else may write, or even look.
fn open_cache(dir: &Path) -> anyhow::Result<Cache> {
    let open = || -> anyhow::Result<Cache> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // Fails where the folder is somebody else's.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
        let mut config = CacheConfig::new();
        config.with_directory(dir.canonicalize()?);
        Cache::new(config).map_err(plain)
    };
    open().with_context(|| format!("the cache of compiled plugins in {}", dir.display()))
}

/// One thread for all plugins. It ends with the engine.
fn start_ticking(engine: &Engine) -> anyhow::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        loop {
            std::thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    };
    std::thread::Builder::new().name("plugin-epoch".to_owned()).spawn(tick)?;
    Ok(())
}
