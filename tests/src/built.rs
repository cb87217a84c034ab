//! Where the build has put what the tests run.

use std::path::PathBuf;

/// The program `eventfabric`, next to the test's own executable; `EVENTFABRIC_BIN` names another.
///
/// # Panics
/// When it has not been built: a test of one package does not build the programs of another.
pub fn eventfabric_bin() -> PathBuf {
    if let Some(path) = std::env::var_os("EVENTFABRIC_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    // target/debug/deps/it-0123456789abcdef
    let path = test
        .ancestors()
        .nth(2)
        .expect("a test lies in target/PROFILE/deps")
        .join(format!("eventfabric{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace` before this test, or `cargo xtask test`",
        path.display()
    );
    path
}

/// The component of the plugin or guest package of this name (`-` or `_`).
///
/// # Panics
/// When it has not been built.
pub fn wasm(name: &str) -> PathBuf {
    let file = format!("{}.wasm", name.replace('-', "_"));
    let path = crate::target_dir().join("wasm32-wasip2/plugin").join(file);
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins`", path.display());
    path
}

/// The NATS server: the one that `EVENTFABRIC_TEST_NATS` names, or that `cargo xtask nats` has fetched, or the
/// machine's. Nothing, and a word on it, where that variable says `none`.
///
/// # Panics
/// When there is none: a test that nobody has told not to run does not pass without running.
pub fn nats_server() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("EVENTFABRIC_TEST_NATS") {
        if named == "none" {
            eprintln!("skipped: there is no NATS server");
            return None;
        }
        return Some(named.into());
    }
    let fetched = crate::target_dir().join("test-tools/nats/bin/nats-server");
    let installed = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|dir| dir.join("nats-server")).find(|file| file.is_file())
    });
    let found = Some(fetched).filter(|fetched| fetched.exists()).or(installed);
    assert!(found.is_some(), "there is no nats-server: run `cargo xtask nats` before this test");
    found
}
