//! Imports point downward only: cli → runner → plugin, store → sandbox → db, event, projection.

use super::{Source, none, sources};

/// What each module of the host may import. A new module gets its line here.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("trace", &[]),
    ("event", &["trace"]),
    ("code", &[]),
    ("backoff", &[]),
    ("projection", &["event"]),
    ("db", &["code"]),
    ("upcast", &["event"]),
    ("embedded", &[]),
    ("sandbox", &["code", "db", "event", "projection"]),
    // The store never knows that plugins exist, and a plugin never reads or writes the log.
    ("store", &["code", "db", "event", "trace"]),
    // Databases of tenants, whatever runs there.
    ("tenancy", &["store", "code", "db", "event", "backoff"]),
    ("plugin", &["sandbox", "upcast", "code", "db", "event", "projection", "trace"]),
    ("session", &["store", "upcast", "code", "db", "event", "backoff"]),
    (
        "runner",
        &[
            "plugin",
            "tenancy",
            "store",
            "upcast",
            "sandbox",
            "code",
            "db",
            "event",
            "projection",
            "backoff",
            "trace",
        ],
    ),
    // What spans become: requests to a collector.
    ("telemetry", &["plugin", "trace"]),
    (
        "http",
        &[
            "runner",
            "plugin",
            "tenancy",
            "store",
            "sandbox",
            "code",
            "db",
            "event",
            "projection",
            "trace",
        ],
    ),
    // Where the runner's relays put events.
    ("relay", &["runner", "event", "projection"]),
    (
        "settings",
        &[
            "http",
            "telemetry",
            "relay",
            "runner",
            "plugin",
            "store",
            "sandbox",
            "tenancy",
            "code",
            "event",
        ],
    ),
    (
        "cli",
        &[
            "settings",
            "embedded",
            "http",
            "telemetry",
            "session",
            "runner",
            "plugin",
            "tenancy",
            "store",
            "sandbox",
            "code",
            "db",
            "event",
            "projection",
            "backoff",
            "trace",
        ],
    ),
];

/// A module that a file names, and the line.
type Import = (usize, String);

/// The modules in the path of a file: `host/src/store/append.rs` is `["store", "append"]`.
fn modules(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches("host/src/").trim_end_matches(".rs");
    path.split('/').filter(|part| *part != "mod").collect()
}

/// The modules of the crate's root that a file names, by `crate::` or by enough `super::`.
fn imports(source: &Source) -> Vec<Import> {
    let depth = modules(&source.path).len();
    let mut found = Vec::new();
    // Code as one text, so that a group may span lines; each line keeps its place.
    let mut code = String::new();
    let mut starts = Vec::new();
    let mut unit_tests = usize::MAX;
    for (number, line) in source.code() {
        if line.starts_with("mod ") && line.ends_with('{') {
            unit_tests = unit_tests.min(code.len());
        }
        starts.push((code.len(), number));
        code.push_str(line);
        code.push('\n');
    }
    let line_of = |at: usize| starts.iter().rev().find(|(start, _)| *start <= at).unwrap().1;
    let outside_a_word = |at: usize| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    };
    for (at, prefix) in code.match_indices("crate::") {
        if outside_a_word(at) {
            names(&code[at + prefix.len()..], at + prefix.len(), &mut |at, name| {
                found.push((line_of(at), name));
            });
        }
    }
    for (at, _) in code.match_indices("super::").filter(|(at, _)| outside_a_word(*at)) {
        let chain = &code[at..];
        let ups = chain.split("::").take_while(|part| *part == "super").count();
        let inside = usize::from(at > unit_tests);
        if ups >= depth + inside {
            let after = at + ups * "super::".len();
            names(&code[after..], after, &mut |at, name| found.push((line_of(at), name)));
        }
    }
    found
}

/// The first names after `crate::`: one, or those of a group in braces.
fn names(text: &str, at: usize, found: &mut dyn FnMut(usize, String)) {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = text.strip_prefix('{') else {
        return found(at, word(text));
    };
    let (mut depth, mut begin) = (0, true);
    for (offset, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            ',' if depth == 0 => begin = true,
            c if begin && !c.is_whitespace() => {
                begin = false;
                found(at + 1 + offset, word(&group[offset..]));
            }
            _ => {}
        }
    }
}

/// What a file imports and may not.
fn upward(source: &Source) -> Vec<String> {
    let own = modules(&source.path)[0];
    if matches!(own, "lib" | "main") {
        return Vec::new();
    }
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == own) else {
        return vec![format!("{}: place the module {own} in MAY_IMPORT", source.path)];
    };
    let known = |name: &str| MAY_IMPORT.iter().any(|(module, _)| *module == name);
    imports(source)
        .into_iter()
        .filter(|(_, name)| known(name) && name != own && !allowed.contains(&name.as_str()))
        .map(|(line, name)| {
            format!(
                "{}:{line}: {own} imports {name}; imports point downward only, and {own} may \
                 import {allowed:?}",
                source.path
            )
        })
        .collect()
}

#[test]
fn imports_point_downward() {
    let broken: Vec<String> = sources(&["host/src"], ".rs").iter().flat_map(upward).collect();
    none(&broken);
}

#[test]
fn the_order_has_no_circle() {
    for (at, (module, allowed)) in MAY_IMPORT.iter().enumerate() {
        for name in *allowed {
            let below = MAY_IMPORT.iter().position(|(module, _)| module == name);
            assert!(
                below.is_some_and(|below| below < at) || *module == "settings",
                "{module} stands above what it may import: {name}"
            );
        }
    }
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    let lines = |path: &str, text: &str| {
        upward(&Source { path: format!("host/src/{path}"), text: text.to_owned() })
    };
    for text in [
        "use crate::plugin::Registry;",
        "use crate::{db, plugin};",
        "use crate::{\n    db::{self, Tx},\n    plugin::{Registry},\n};",
        "fn f() { crate::plugin::stop() }",
        "use super::super::plugin::Registry;",
        "use super::super::{db, plugin};",
        "macro_rules! m { () => { $crate::plugin::stop() } }",
        "mod tests {\n    use super::super::super::plugin;\n}",
        "use crate::runner::Host;",
        "use crate::settings::Settings;",
    ] {
        assert_eq!(lines("store/append.rs", text).len(), 1, "{text}");
    }
    assert_eq!(lines("store/mod.rs", "use super::plugin;").len(), 1);
    assert_eq!(lines("db.rs", "use super::event;").len(), 1);
    assert_eq!(lines("plugin/host.rs", "use crate::{store, sandbox};").len(), 1);
    assert_eq!(lines("surprise.rs", "").len(), 1, "a module without a place");
    for text in [
        "use crate::{db, event::{Event, plugin}};",
        "// use crate::plugin::Registry;",
        "/// See [`crate::plugin`].",
        "use super::plugin::Registry;",
        "use wasmtime::crate::plugin;",
        "use crate::store::plugin;",
        "mod tests {\n    use super::super::plugin;\n}",
    ] {
        assert_eq!(lines("store/append.rs", text), [""; 0], "{text}");
    }
    let found = lines("store/append.rs", "//! About\n\nuse crate::{\n    db,\n    plugin,\n};\n");
    assert!(found[0].starts_with("host/src/store/append.rs:5: store imports plugin"), "{found:?}");
}
