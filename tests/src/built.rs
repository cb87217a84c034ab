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
