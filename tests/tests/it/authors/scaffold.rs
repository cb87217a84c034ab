//! `plugin new`: what it refuses.

use std::path::Path;

use crate::cli::{Said, finish, program};

async fn new(args: &[&str], dir: &Path) -> Said {
    finish(program(&["plugin", "new"]).args(args).current_dir(dir), b"").await
}

#[tokio::test]
async fn a_name_that_no_plugin_can_have_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, why) in [
        ("Orders", "starts with a lower case letter"),
        ("or-ders", "lower case letters, digits and underscores"),
        ("pg_orders", "belongs to PostgreSQL"),
        ("type", "means something else in Rust"),
    ] {
        new(&[name], dir.path()).await.failed(4, &[name, why]);
    }
    for (name, lang, why) in [
        ("orders_", "python", "underscore"),
        ("vendor", "go", "Go"),
        ("node_modules", "typescript", "npm"),
    ] {
        new(&[name, "--lang", lang], dir.path()).await.failed(4, &[name, why]);
    }
    new(&["orders", "--lang", "cobol"], dir.path()).await.failed(2, &["cobol", "rust"]);
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was made");
}

#[tokio::test]
async fn a_folder_that_holds_something_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("orders")).unwrap();
    new(&["orders"], dir.path()).await.well();
    new(&["orders"], dir.path()).await.failed(4, &["not empty", "--dir"]);
    new(&["orders", "--dir", "elsewhere"], dir.path()).await.well();
    let manifest =
        |at: &str| std::fs::read_to_string(dir.path().join(at).join("Cargo.toml")).unwrap();
    assert!(manifest("elsewhere").contains("name = \"orders\""));
    assert!(manifest("elsewhere").contains("sdk/rust\" }"), "the SDK of the checkout");
}

#[tokio::test]
async fn the_sdk_can_be_named() {
    let dir = tempfile::tempdir().unwrap();
    new(&["orders", "--sdk", "/nowhere"], dir.path()).await.failed(4, &["no checkout"]);
    new(&["orders", "--sdk", "https://git.example/ef.git"], dir.path()).await.well();
    let manifest = std::fs::read_to_string(dir.path().join("orders/Cargo.toml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let wanted = format!("{{ git = \"https://git.example/ef.git\", tag = \"v{version}\" }}");
    assert!(manifest.contains(&wanted), "{manifest}");
    for lang in ["typescript", "go", "c"] {
        let args = ["other", "--lang", lang, "--sdk", "https://git.example/ef.git"];
        new(&args, dir.path()).await.failed(4, &["git clone", "https://git.example/ef.git"]);
    }
}

#[tokio::test]
async fn there_is_a_template_for_every_language() {
    let dir = tempfile::tempdir().unwrap();
    for (lang, file) in [
        ("rust", "Cargo.toml"),
        ("typescript", "package.json"),
        ("python", "pyproject.toml"),
        ("go", "go.mod"),
        ("c", "CMakeLists.txt"),
    ] {
        new(&["orders", "--lang", lang, "--dir", lang], dir.path()).await.well();
        let folder = dir.path().join(lang);
        let manifest = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(
            manifest.contains("orders") && manifest.contains(&format!("sdk/{lang}")),
            "{manifest}"
        );
        assert!(folder.join(".gitignore").is_file(), "{lang}");
        assert!(folder.join("scenarios/balance.json").is_file(), "{lang}");
        let mut build = program(&["plugin", "build"]);
        build.current_dir(&folder).env("PATH", "").env_remove("VIRTUAL_ENV");
        finish(&mut build, b"").await.failed(4, &["installed"]);
    }
}

#[tokio::test]
async fn what_is_no_plugin_is_not_built() {
    let dir = tempfile::tempdir().unwrap();
    let build = async || finish(program(&["plugin", "build"]).current_dir(dir.path()), b"").await;
    build().await.failed(4, &["no Cargo.toml", "plugin new"]);
    // And no server is made there.
    let dev = finish(program(&["dev"]).current_dir(dir.path()), b"").await;
    dev.failed(4, &["no Cargo.toml", "plugin new"]);
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    finish(&mut program(&["plugin", "build", "/nowhere"]), b"")
        .await
        .failed(4, &["no folder /nowhere"]);
    std::fs::write(dir.path().join("Cargo.toml"), "").unwrap();
    let without =
        finish(program(&["plugin", "build"]).current_dir(dir.path()).env("PATH", ""), b"").await;
    without.failed(
        4,
        &["cargo", "not installed", "rustup.rs", "rustup target add wasm32-unknown-unknown"],
    );
}
