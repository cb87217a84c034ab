//! From a core module to a component, as `wasm-tools component new` does it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Context as _;
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::cli::exit;

/// The contract that components are made for.
const CONTRACT: &str = include_str!("../../../../wit/released/0.1.0/projection.wit");

/// What a plugin may have beside it: the side on which, the interface, and its WIT.
const EXTENSIONS: [(&str, &str, &str); 3] = [
    ("export", "eventfabric:query/queries@0.1.0", include_str!("../../../../wit/query/query.wit")),
    (
        "import",
        "eventfabric:process-manager/event-store@0.1.0",
        include_str!("../../../../wit/process-manager/process-manager.wit"),
    ),
    (
        "import",
        "eventfabric:reactor/outgoing@0.1.0",
        include_str!("../../../../wit/reactor/reactor.wit"),
    ),
];

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

/// The component of a module that says nothing of what its functions mean, or nothing of those beside the contract.
///
/// # Errors
/// It is none of a projection.
pub(super) fn of_plain_module(mut module: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    embed_contract(&mut module)?;
    of_module(&module)
}

/// Says in the module what its functions mean: those of the contract, and of the extensions that it uses.
fn embed_contract(module: &mut Vec<u8>) -> anyhow::Result<()> {
    let used = interfaces(module)?;
    let mut resolve = Resolve::default();
    resolve.push_str("projection.wit", CONTRACT)?;
    let mut plugin =
        "package eventfabric:plugin;\nworld plugin {\n    include eventfabric:projection/projection@0.1.0;\n"
            .to_owned();
    for (side, interface, wit) in EXTENSIONS {
        if used.contains(interface) {
            resolve.push_str(format!("{interface}.wit"), wit)?;
            writeln!(plugin, "    {side} {interface};")?;
        }
    }
    plugin.push_str("}\n");
    let package = resolve.push_str("plugin.wit", &plugin)?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}

/// The interfaces of which a module imports or exports a function.
fn interfaces(module: &[u8]) -> anyhow::Result<BTreeSet<&str>> {
    let mut used = BTreeSet::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    used.insert(import?.module);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    used.extend(export?.name.split_once('#').map(|(interface, _)| interface));
                }
            }
            _ => {}
        }
    }
    Ok(used)
}

/// Whether these bytes are a component already.
///
/// # Errors
/// They are no WebAssembly.
pub(super) fn is_component(bytes: &[u8]) -> anyhow::Result<bool> {
    let header = bytes.first_chunk::<8>().context("it is cut off")?;
    Ok(Parser::is_component(header))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = "eventfabric:query/queries@0.1.0#query";

    /// A module with the functions of a projection and these, and with memory for what they are given.
    fn module(more: &str) -> Vec<u8> {
        let text = format!(
            r#"(module
                {more}
                (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "describe") (result i32) unreachable)
                (func (export "handle") (param i32 i32 i32) (result i32) unreachable))"#
        );
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn a_component_has_the_extensions_that_its_module_uses() {
        let queries = format!(
            r#"(func (export "eventfabric:query/queries@0.1.0#describe-queries") (result i32) unreachable)
               (func (export "{QUERY}") (param i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)"#
        );
        let store = r#"(import "eventfabric:process-manager/event-store@0.1.0" "load"
            (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
        let outgoing = r#"(import "eventfabric:reactor/outgoing@0.1.0" "send" (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
        let parts =
            [("query/queries", queries.as_str()), ("event-store", store), ("outgoing", outgoing)];
        for used in [&[][..], &[0], &[1], &[2], &[1, 2, 0]] {
            let more: String = used.iter().map(|part: &usize| parts[*part].1).collect();
            let component = of_plain_module(module(&more)).unwrap();
            let text = String::from_utf8_lossy(&component);
            for (number, (name, _)) in parts.iter().enumerate() {
                assert_eq!(text.contains(name), used.contains(&number), "{name} of {used:?}");
            }
        }
    }

    #[test]
    fn half_an_extension_is_an_error() {
        let half = format!(
            r#"(func (export "{QUERY}") (param i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)"#
        );
        let error = of_plain_module(module(&half)).unwrap_err().to_string();
        assert!(error.contains("describe-queries"), "{error}");
    }

    /// A module without what tools write about it.
    fn sections(module: &[u8]) -> Vec<(u8, &[u8])> {
        let payloads = Parser::new(0).parse_all(module);
        let sections = payloads.filter_map(|payload| payload.unwrap().as_section());
        let sections = sections.filter(|(id, _)| *id != 0);
        sections.map(|(id, range)| (id, module.get(range).unwrap())).collect()
    }

    /// What a module that says itself what its functions mean imports.
    fn imports(module: &[u8]) -> Vec<String> {
        let (_, said) = wit_component::metadata::decode(module).unwrap();
        let keys = said.resolve.worlds[said.world].imports.keys();
        keys.map(|key| said.resolve.name_world_key(key)).collect()
    }

    #[test]
    fn the_adapter_is_that_of_its_text() {
        let text = include_str!("../../../../sdk/go/adapter/wasi_snapshot_preview1.wat");
        let mut fresh = wat::parse_str(text).unwrap();
        assert!(sections(&fresh) == sections(ADAPTER.1), "run sdk/go/adapter/build.mjs");
        let mut resolve = Resolve::default();
        let wit = include_str!("../../../../sdk/go/adapter/adapter.wit");
        let package = resolve.push_str("adapter.wit", wit).unwrap();
        let world = resolve.select_world(&[package], Some("adapter")).unwrap();
        embed_component_metadata(&mut fresh, &resolve, world, StringEncoding::UTF8).unwrap();
        assert_eq!(imports(&fresh), imports(ADAPTER.1), "run sdk/go/adapter/build.mjs");
    }
}
