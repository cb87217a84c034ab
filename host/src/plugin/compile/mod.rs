//! Compiling components, and keeping what came of it.
//!
//! The machine code that Cranelift makes of a component runs with the rights of the host. It comes
//! from two places only: this very program (in this process, or in a child of the same binary) and
//! the cache, where this program put it under its own name.

mod cache;
mod worker;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

pub(super) use cache::Cache;
pub use worker::compile_worker;

use super::LoadError;
use super::engine::plain;
use super::limits::Limits;
use super::version::Version;

/// Compilers at work at the same time. Each uses all processors; a second one lets a small
/// component pass one that takes minutes.
const COMPILERS: usize = 2;

/// Makes components of bytes.
#[derive(Clone)]
pub(super) struct Compiler {
    engine: Engine,
    cache: Option<Cache>,
    /// In a process of its own, which can be stopped and has limits.
    apart: bool,
    limits: Arc<Limits>,
    turns: Arc<Semaphore>,
}

impl Compiler {
    pub fn new(engine: Engine, cache: Option<Cache>, limits: Arc<Limits>) -> Self {
        Self { engine, cache, apart: false, limits, turns: Arc::new(Semaphore::new(COMPILERS)) }
    }

    pub fn apart(self) -> Self {
        Self { apart: true, ..self }
    }

    /// Compiles a component, or finds it in the cache.
    pub async fn component(
        &self,
        version: Version,
        bytes: Arc<[u8]>,
    ) -> Result<Component, LoadError> {
        let (cache, engine) = (self.cache.clone(), self.engine.clone());
        let kept = in_thread(move || cache.and_then(|cache| load(&engine, &cache.get(version)?)));
        if let Some(component) = kept.await? {
            return Ok(component);
        }
        let Ok(_turn) = self.turns.acquire().await else { return Err(gave_up("it is closed")) };
        let code = if self.apart {
            worker::compile(&self.limits, &bytes).await?
        } else {
            let engine = self.engine.clone();
            in_thread(move || engine.precompile_component(&bytes).map_err(invalid)).await??
        };
        let (cache, engine) = (self.cache.clone(), self.engine.clone());
        in_thread(move || {
            if let Some(cache) = cache {
                cache.put(version, &code);
            }
            native(&engine, &code).map_err(|error| gave_up(format_args!("{error:#}")))
        })
        .await?
    }
}

/// Code of the cache, which is not copied: the pages of the file are those of the code. What this engine
/// does not take is compiled anew.
#[expect(unsafe_code, reason = "machine code is taken for what it says it is")]
fn load(engine: &Engine, file: &Path) -> Option<Component> {
    // SAFETY: the file must be what `Engine::precompile_component` of this build of wasmtime made, and
    // nobody may change it while the code is in use. One of the two below filled it before it got its
    // name, which says which build made it; its folder is the host's user's alone; its sum was right a
    // moment ago; and the host never writes to a file that has its name (`cache.rs`): another one takes
    // its place, and its pages stay.
    let mapped = unsafe { Component::deserialize_file(engine, file) }.map_err(plain);
    // A file system can forbid that its files are run (`noexec`).
    let copied = |_| native(engine, &cache::code(file)?);
    mapped
        .or_else(copied)
        .inspect_err(|error| tracing::warn!("the cache of compiled plugins: {error:#}"))
        .ok()
}

#[expect(unsafe_code, reason = "machine code is taken for what it says it is")]
fn native(engine: &Engine, code: &[u8]) -> anyhow::Result<Component> {
    // SAFETY: the bytes must be what `Engine::precompile_component` of this build of wasmtime made,
    // unchanged. They are: `precompile_component` of this process; or what a child wrote to a pipe
    // that nobody else has and then ended well, whose program is this process's own file
    // (`worker.rs`). A plugin chooses what is compiled, and never these bytes.
    unsafe { Component::deserialize(engine, code) }.map_err(plain)
}

async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.map_err(gave_up)
}

fn invalid(error: wasmtime::Error) -> LoadError {
    LoadError::Compile(format!("{error:#}"))
}

fn gave_up(why: impl std::fmt::Display) -> LoadError {
    LoadError::Compile(format!("the compiler gave up: {why}"))
}
