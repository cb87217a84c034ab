//! The versions of the contract that this host speaks. A plugin is run by the one that it was built
//! with, and the rest of the host knows only its own types.
//!
//! A released version stays as it is (`wit/released/`). The next one gets bindings of its own, which
//! call what the host has for the one before where nothing has changed; [`draft`] shows it, for each kind
//! of change, and is in the tests alone.

#[cfg(test)]
mod draft;

use std::time::Instant;

use wasmtime::component::{HasSelf, InstancePre, Linker, Resource};
use wasmtime::{AsContextMut as _, Store};

use super::bindings::{self, Projection, ProjectionPre, TxHandle};
use super::host::State;
use super::instance::HandleStats;
use crate::event::Event;
use crate::projection::{Description, Failure};

/// The version of the package `eventfabric:projection` that is current.
pub const CURRENT: &str = "0.1.0";

/// All that are understood, the current one last.
pub fn versions() -> &'static [&'static str] {
    #[cfg(test)]
    return &[draft::VERSION, CURRENT];
    #[cfg(not(test))]
    &[CURRENT]
}

/// A component, ready to be instantiated, and how it is spoken to.
pub enum Contract {
    /// Version 0.1.0.
    V0_1(ProjectionPre<State>),
    /// What a next version may look like.
    #[cfg(test)]
    Draft(draft::ProjectionPre<State>),
}

/// What came of a call of `handle`: the outer error is a trap, or the host that stopped it.
pub type Outcome = wasmtime::Result<Result<(), Failure>>;

/// Gives plugins of each version what they may import.
pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    #[cfg(test)]
    draft::Projection::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    Projection::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl Contract {
    /// Fails where a function has the right name and another type.
    pub fn new(version: &str, pre: InstancePre<State>) -> wasmtime::Result<Self> {
        match version {
            #[cfg(test)]
            draft::VERSION => draft::ProjectionPre::new(pre).map(Self::Draft),
            _ => ProjectionPre::new(pre).map(Self::V0_1),
        }
    }

    /// Asks a plugin what it is.
    pub async fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Description> {
        match self {
            Self::V0_1(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                Ok(instance.call_describe(store).await?.into())
            }
            #[cfg(test)]
            Self::Draft(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                Ok(instance.call_describe(store).await?.into())
            }
        }
    }

    /// Hands events to a plugin, in an instance of their own.
    pub async fn handle(
        &self,
        store: &mut Store<State>,
        events: &[Event],
        stats: &mut HandleStats,
    ) -> Outcome {
        let ids: Vec<_> = events.iter().map(bindings::id).collect();
        let events = events.iter().zip(&ids);
        let started = Instant::now();
        match self {
            Self::V0_1(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                stats.instantiate = started.elapsed();
                let events: Vec<_> = events.map(|(e, id)| bindings::event(e, id)).collect();
                let (tx, started) = (lend(store)?, Instant::now());
                let outcome = instance.call_handle(store.as_context_mut(), tx, &events).await;
                stats.call = started.elapsed();
                Ok(outcome?.map_err(Into::into))
            }
            #[cfg(test)]
            Self::Draft(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                stats.instantiate = started.elapsed();
                let events: Vec<_> = events.map(|(e, id)| draft::event(e, id)).collect();
                let (tx, started) = (lend(store)?, Instant::now());
                let outcome = instance.call_handle(store.as_context_mut(), tx, &events).await;
                stats.call = started.elapsed();
                Ok(outcome?.map_err(Into::into))
            }
        }
    }
}

/// The one handle that a store will ever know.
fn lend(store: &mut Store<State>) -> wasmtime::Result<Resource<TxHandle>> {
    let handle = store.data_mut().table.push(TxHandle)?;
    Ok(Resource::new_borrow(handle.rep()))
}
