//! The engine and what a plugin goes through before it runs.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::compile::{Cache, Compiler};
use super::contract::{self, Contract};
use super::host::State;
use super::instance::{self, Plugin};
use super::limits::Limits;
use super::logs::{self, LogConfig, Sink};
use super::outgoing::{self, Client};
use super::version::Version;
use super::{LoadError, describe, inspect, process, queries, wasi};
use crate::projection::Mode;
use crate::upcast::Upcasters;

/// How often plugins are looked at: whether their time is over, or others wait for the thread.
const TICK: Duration = Duration::from_millis(10);

/// What the host's own functions, sqlx among them, need of the stack of an instance.
const HOST_STACK: usize = 2 * 1024 * 1024;

/// Core instances of one component. Python is made of some dozens.
const CORE_INSTANCES: u32 = 100;
/// Tables of one component.
const TABLES: u32 = 60;
/// Memories of one component.
const MEMORIES: u32 = 4;

/// Loads plugins, and holds what all of them share. A clone is the same runtime.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
    upcasters: Upcasters,
    compiler: Compiler,
}

pub(super) struct Shared {
    pub engine: Engine,
    pub linker: Linker<State>,
    pub limits: Arc<Limits>,
    pub slots: Semaphore,
    /// Those of inline plugins are apart: a batch that appends waits for them, and has a place itself.
    pub inline_slots: Semaphore,
    /// Those of reactors, too: they wait for servers, with which nobody else has to do.
    pub reactor_slots: Semaphore,
    /// Calls that may begin before their transaction is there, of those that have one of [`Self::slots`].
    pub early: Semaphore,
    early_places: usize,
    /// Where the lines of plugins go that are to be kept.
    pub sink: ArcSwapOption<Sink>,
}

impl Shared {
    /// The places of instances that handle events.
    pub fn slots(&self, mode: Mode, is_reactor: bool) -> &Semaphore {
        match mode {
            Mode::Inline => &self.inline_slots,
            _ if is_reactor => &self.reactor_slots,
            _ => &self.slots,
        }
    }
}

impl Runtime {
    /// Sets up the engine. Compiled plugins are kept in `cache_dir`, which only the host may read
    /// and write: what is in there is run as native code. Hosts on several databases may share it.
    pub fn new(cache_dir: Option<PathBuf>, limits: Limits) -> anyhow::Result<Self> {
        limits.check()?;
        let (engine, linker) = set_up(&limits).map_err(plain)?;
        let cache = cache_dir.map(|dir| Cache::open(&dir, &engine)).transpose()?;
        start_ticking(&engine)?;
        let places = || Semaphore::new(limits.instances as usize);
        let (slots, inline_slots, reactor_slots) = (places(), places(), places());
        // More than there are processors have nothing to gain. And one place is never that of a call which waits,
        // perhaps for those that find no place.
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let early_places = processors.min(limits.instances.saturating_sub(1) as usize);
        let limits = Arc::new(limits);
        let compiler = Compiler::new(engine.clone(), cache, limits.clone());
        let shared = Arc::new(Shared {
            engine,
            linker,
            limits,
            slots,
            inline_slots,
            reactor_slots,
            early: Semaphore::new(early_places),
            early_places,
            sink: ArcSwapOption::empty(),
        });
        Ok(Self { shared, upcasters: Upcasters::new(), compiler })
    }

    /// Calls of catch-up plugins that have begun before their transaction was there, and have not ended.
    pub fn begun_early(&self) -> usize {
        self.shared.early_places - self.shared.early.available_permits()
    }

    /// The same runtime, whose plugins from now on get events that these have lifted.
    #[must_use]
    pub fn with_upcasters(self, upcasters: Upcasters) -> Self {
        Self { upcasters, ..self }
    }

    /// The same runtime, which from now on compiles in processes of their own, within
    /// [`Limits::compile_time`] and [`Limits::compile_memory`]. Only for a program whose `main`
    /// calls [`compile_worker`](super::compile_worker), for it is started for that purpose.
    #[must_use]
    pub fn compiling_apart(self) -> Self {
        Self { compiler: self.compiler.apart(), ..self }
    }

    /// Keeps the last lines of plugins in the database, until cancelled.
    pub async fn keep_logs(
        &self,
        pool: PgPool,
        config: LogConfig,
        host: String,
        stop: CancellationToken,
    ) {
        if config.lines == 0 {
            return stop.cancelled().await;
        }
        let (sink, said) = Sink::new(config.level);
        self.shared.sink.store(Some(Arc::new(sink)));
        logs::keep(pool, said, host, config.lines, stop).await;
        self.shared.sink.store(None);
    }

    /// The limits of its plugins.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Makes a plugin of the bytes of a component: checks them, compiles them (or finds them in the
    /// cache), and asks the plugin to describe itself.
    pub async fn load(&self, bytes: Arc<[u8]>) -> Result<Plugin, LoadError> {
        let limit = self.shared.limits.component_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge { bytes: bytes.len(), limit });
        }
        let looked_at = bytes.clone();
        let inspected = tokio::task::spawn_blocking(move || {
            Ok((inspect::inspect(&looked_at)?, Version::of(&looked_at)))
        });
        let (inspected, version) = inspected
            .await
            .map_err(|error| LoadError::Compile(format!("it cannot be read: {error}")))??;
        let started = Instant::now();
        let component = self.compiler.component(version, bytes).await?;
        let compile_time = started.elapsed();
        // A function of the right name but of another type is noticed here.
        let misfit = |error| LoadError::Contract(format!("{error:#}"));
        let pre = self.shared.linker.instantiate_pre(&component).map_err(misfit)?;
        let imports = inspected.imports;
        let contract = Contract::new(inspect::contract(&imports), pre.clone()).map_err(misfit)?;
        let description = instance::describe(&self.shared, &contract, version).await?;
        let description = describe::check(description)?;
        if description.mode == Mode::Inline && inspected.appends {
            return Err(LoadError::InlineProcess { import: process::IMPORT });
        }
        let reads = match inspected.queries {
            true => Some(queries::Served::new(&self.shared, pre, version).await?),
            false => None,
        };
        let client = match inspected.sends {
            true if description.mode != Mode::Async => {
                return Err(LoadError::Reactor(description.mode));
            }
            true => Some(Arc::new(client().await?)),
            false => None,
        };
        let limits = Arc::new(self.shared.limits.of(&description.name));
        let (shared, upcasters) = (self.shared.clone(), self.upcasters.clone());
        Ok(Plugin {
            version,
            description,
            imports,
            compile_time,
            heard: Arc::default(),
            contract,
            reads,
            appends: inspected.appends,
            client,
            limits,
            shared,
            upcasters,
        })
    }
}

/// Certificates are read from files.
async fn client() -> Result<Client, LoadError> {
    let made = tokio::task::spawn_blocking(Client::new).await;
    let made = made.unwrap_or_else(|error| Err(error.to_string()));
    made.map_err(LoadError::Client)
}

fn set_up(limits: &Limits) -> wasmtime::Result<(Engine, Linker<State>)> {
    let mut config = compiling();
    config.max_wasm_stack(limits.stack_bytes).async_stack_size(limits.stack_bytes + HOST_STACK);
    let mut pooled = config.clone();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(limits)));
    let engine = Engine::new(&pooled).or_else(|error| {
        // Where address space is limited (ulimit -v), instances can still be made one by one.
        tracing::warn!(%error, "no room for a pool of plugin instances: they start slower");
        Engine::new(&config)
    })?;
    let mut linker = Linker::new(&engine);
    wasi::add_to_linker(&mut linker)?;
    contract::add_to_linker(&mut linker)?;
    process::add_to_linker(&mut linker)?;
    outgoing::add_to_linker(&mut linker)?;
    Ok((engine, linker))
}

pub(super) fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into_boxed_dyn_error())
}

/// All that the compiled code depends on: the same for who compiles and for who runs it.
pub(super) fn compiling() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .parallel_compilation(true)
        .memory_init_cow(true)
        // The same log gives the same tables, on whatever processor.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}

fn pooling(limits: &Limits) -> PoolingAllocationConfig {
    let instances = limits.instances.saturating_mul(3);
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
