//! From a core module to a component, as `wasm-tools component new` does it.

use anyhow::Context as _;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::cli::exit;

/// The contract that components are made for.
const CONTRACT: &str = include_str!("../../../../wit/released/0.1.0/projection.wit");

/// What answers the system calls of Go's run time and of a libc, so that a component has no WASI in it.
const ADAPTER: (&str, &[u8]) = (
    "wasi_snapshot_preview1",
    include_bytes!("../../../../sdk/go/adapter/wasi_snapshot_preview1.wasm"),
);

/// The component of a module that says itself, in a section of its own, what its functions mean.
///
/// # Errors
/// It imports what no projection has.
pub(super) fn of_module(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let encoder = ComponentEncoder::default().module(module);
    let encoder = encoder.and_then(|encoder| encoder.adapter(ADAPTER.0, ADAPTER.1));
    let encoded = encoder.and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| exit::bad_input(format!("no component can be made of it: {error:#}")))
}

/// The component of a module that Go has made.
///
/// # Errors
/// It is none of a projection.
pub(super) fn of_go(mut module: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    embed_contract(&mut module)?;
    of_module(&module)
}

/// Says in the module what its functions mean.
fn embed_contract(module: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("projection.wit", CONTRACT)?;
    let world = resolve.select_world(&[package], Some("projection"))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}

/// Whether these bytes are a component already.
///
/// # Errors
/// They are no WebAssembly.
pub(super) fn is_component(bytes: &[u8]) -> anyhow::Result<bool> {
    let header = bytes.first_chunk::<8>().context("it is cut off")?;
    Ok(wasmparser::Parser::is_component(header))
}
