//! What can be told of a plugin before it is compiled: whether it is a component at all, and what
//! it asks for.

use sqlx::PgExecutor;
use wasmparser::{ComponentTypeRef, Parser, Payload, TypeBounds};

use super::{LoadError, contract, process};

/// Interfaces of WASI that a projection gets, as stubs: see [`super::wasi`].
const WASI: &[&str] = &[
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
];

/// The contract, as this host speaks it.
const CONTRACT: &[&str] = &[
    "eventfabric:projection/log",
    "eventfabric:projection/config",
    "eventfabric:projection/sql",
    "eventfabric:projection/types",
];

/// Functions that a component of the world `projection` exports.
const EXPORTS: &[&str] = &["describe", "handle"];

/// What a plugin exports that answers queries.
const QUERIES: &str = "eventfabric:query/queries";

/// The version of the package `eventfabric:query` that this host speaks.
const QUERY_VERSION: &str = "0.1.0";

/// What a plugin imports that sends requests to other systems.
pub const OUTGOING: &str = "eventfabric:reactor/outgoing";

/// The version of the package `eventfabric:reactor` that this host speaks.
const REACTOR_VERSION: &str = "0.1.0";

/// What a component is.
pub struct Inspected {
    /// The names of its imports.
    pub imports: Vec<String>,
    /// It answers queries.
    pub queries: bool,
    /// It answers events with events.
    pub appends: bool,
    /// It sends requests.
    pub sends: bool,
}

/// Checks the bytes against the world `projection` and its extensions.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, LoadError> {
    check_header(bytes)?;
    let damaged = |error: wasmparser::BinaryReaderError| LoadError::NotAComponent {
        what: format!("it is damaged or cut off: {error}"),
        hint: "copy the file again; a file still being written is read again when it is complete",
    };
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(damaged)?;
                    // `use` in a world: another name of a type that came with an interface.
                    if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                        imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    let (mut queries, mut appends) = (false, false);
    for import in &imports {
        if is_extension(import, process::EVENT_STORE, process::VERSION)? {
            appends = true;
        } else if let Err(hint) = check_import(import) {
            return Err(LoadError::Import { name: import.clone(), hint });
        }
    }
    for &export in EXPORTS {
        if !exports.iter().any(|name| name == export) {
            return Err(LoadError::MissingExport { name: export });
        }
    }
    for export in &exports {
        queries |= is_extension(export, QUERIES, QUERY_VERSION)?;
    }
    let sends = imports.iter().any(|import| import.starts_with(OUTGOING));
    Ok(Inspected { imports, queries, appends, sends })
}

/// Whether this host can run a version of a plugin that the database has, as far as its bytes tell.
///
/// # Errors
/// When they can't be read.
pub async fn runnable(
    executor: impl PgExecutor<'_>,
    plugin: &str,
    version: &str,
) -> sqlx::Result<Result<(), LoadError>> {
    let stored = sqlx::query_file!("src/plugin/sql/version_bytes.sql", plugin, version);
    Ok(inspect(&stored.fetch_one(executor).await?.bytes).map(drop))
}

/// Whether an import or export is this extension of the contract; fails where it is another version of it.
fn is_extension(name: &str, extension: &str, known: &'static str) -> Result<bool, LoadError> {
    match name.split_once('@').unwrap_or((name, "")) {
        (of, version) if of == extension && version != known => {
            Err(LoadError::Extension { name: name.to_owned(), known })
        }
        (of, _) => Ok(of == extension),
    }
}

fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    let not = |what: &str, hint| Err(LoadError::NotAComponent { what: what.to_owned(), hint });
    match bytes {
        [] => not("the file is empty", "build the plugin again"),
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => not(
            "it is a core WebAssembly module, not a component",
            "`eventfabric plugin build` makes one, and so do `wasm-tools component new` and `jco new`",
        ),
        [b'\0', b'a', b's', b'm', _, _, _, _, ..] => not(
            "it is WebAssembly of a version that this host does not know",
            "build the plugin with the current tools",
        ),
        [0x7f, b'E', b'L', b'F', ..] => not(
            "it is native code (such as a .cwasm that was compiled ahead of time)",
            "give the host the component itself; it compiles it and keeps the result",
        ),
        _ if b"\0asm".starts_with(bytes) || bytes.starts_with(b"\0asm") => {
            not("it is cut off within its first eight bytes", "copy the file again")
        }
        _ if std::str::from_utf8(&bytes[..bytes.len().min(512)]).is_ok_and(looks_like_text) => not(
            "it is text, not WebAssembly",
            "build the plugin; `wasm-tools parse` makes a binary of the text format",
        ),
        _ => not("it is no WebAssembly", "give the host the .wasm file that the build made"),
    }
}

fn looks_like_text(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !c.is_whitespace())
}

/// The version of the contract that a component was built with: that of the types of its events.
pub fn contract(imports: &[String]) -> &str {
    let types = imports.iter().find_map(|name| name.strip_prefix("eventfabric:projection/types@"));
    types.unwrap_or(contract::CURRENT)
}

/// `Err` with a hint when nothing of that name is granted.
fn check_import(import: &str) -> Result<(), &'static str> {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    if CONTRACT.contains(&name) {
        return if contract::versions().contains(&version) {
            Ok(())
        } else {
            Err(
                "this host speaks version 0.1.0 of the contract: build with that, or take a newer host",
            )
        };
    }
    if name == OUTGOING {
        return match version {
            REACTOR_VERSION => Ok(()),
            _ => Err("this host speaks version 0.1.0 of it: build with that, or take another host"),
        };
    }
    if WASI.contains(&name) {
        return if version.starts_with("0.2.") {
            Ok(())
        } else {
            Err("this host has WASI 0.2: build for wasm32-wasip2")
        };
    }
    Err(match name.split_once('/').map_or(name, |(package, _)| package) {
        "wasi:filesystem" => {
            "no setting grants files to a projection: keep what it needs in its tables or its config"
        }
        "wasi:sockets" | "wasi:http" | "wasi:tls" => {
            "no setting grants the network to a plugin: one of the mode async sends requests by \
             eventfabric:reactor/outgoing"
        }
        "eventfabric:projection" => "the contract 0.1.0 has no such interface",
        _ => "no setting grants it: a projection has events, its own tables, log and config",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        inspect(bytes).err().unwrap().to_string()
    }

    #[test]
    fn each_kind_of_wrong_file_has_its_own_hint() {
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(b"\0as").contains("cut off"));
        assert!(refusal(&wat::parse_str("(module)").unwrap()).contains("plugin build"));
        assert!(refusal(b"(component)").contains("text"));
        assert!(refusal(b"\x7fELF\x02\x01").contains("native code"));
        assert!(refusal(b"\x89PNG\r\n\x1a\n\0").contains("no WebAssembly"));
    }

    #[test]
    fn a_truncated_component_is_refused() {
        let whole =
            wat::parse_str(r#"(component (import "wasi:io/poll@0.2.6" (instance)))"#).unwrap();
        assert!(refusal(&whole[..whole.len() - 3]).contains("damaged or cut off"));
        assert!(refusal(&whole).contains("describe"));
    }

    #[test]
    fn another_name_of_a_type_is_no_import() {
        let text = r#"(component (type $t u32) (import "description" (type (eq $t))))"#;
        assert!(refusal(&wat::parse_str(text).unwrap()).contains("does not export"));
        let text = r#"(component (import "handle" (type (sub resource))))"#;
        assert!(refusal(&wat::parse_str(text).unwrap()).contains("imports handle"));
    }

    #[test]
    fn what_is_not_granted_is_refused_by_name() {
        for import in [
            "wasi:filesystem/types@0.2.6",
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:cli/run@0.2.0",
            "wasi:clocks/wall-clock@0.3.0",
            "eventfabric:projection/sql@0.2.0",
            "eventfabric:projection/admin@0.1.0",
            "eventfabric:reactor/outgoing@0.2.0",
            "eventfabric:reactor/incoming@0.1.0",
            "acme:secrets/vault@1.0.0",
        ] {
            let wat = format!("(component (import \"{import}\" (instance)))");
            let refusal = refusal(&wat::parse_str(wat).unwrap());
            assert!(refusal.contains(import), "{refusal}");
        }
    }

    #[test]
    fn an_extension_of_another_version_is_refused_by_name() {
        let component = |version: &str| {
            let text = format!(
                r#"(component
                    (core module $m (func (export "f")))
                    (core instance $i (instantiate $m))
                    (func $f (canon lift (core func $i "f")))
                    (instance $q)
                    (export "describe" (func $f))
                    (export "handle" (func $f))
                    (export "eventfabric:query/queries@{version}" (instance $q)))"#
            );
            wat::parse_str(text).unwrap()
        };
        assert!(inspect(&component("0.1.0")).unwrap().queries);
        let refusal = refusal(&component("0.2.0"));
        assert!(refusal.contains("eventfabric:query/queries@0.2.0"), "{refusal}");
    }
}
