//! `eventfabric plugin new`

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::{exit, output};
use crate::plugin::check_name;

/// The files of a new plugin, and where they go.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("../../../sdk/rust/template/Cargo.toml.template")),
    (".gitignore", include_str!("../../../sdk/rust/template/gitignore")),
    ("README.md", include_str!("../../../sdk/rust/template/README.md")),
    ("src/lib.rs", include_str!("../../../sdk/rust/template/src/lib.rs")),
    (
        "migrations/001_create_accounts.sql",
        include_str!("../../../sdk/rust/template/migrations/001_create_accounts.sql"),
    ),
    ("scenarios/balance.json", include_str!("../../../sdk/rust/template/scenarios/balance.json")),
    (
        "scenarios/no_account.json",
        include_str!("../../../sdk/rust/template/scenarios/no_account.json"),
    ),
];

/// Words that are a plugin's name for the host, and no crate's for Rust.
const NO_CRATES: [&str; 45] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue",
    "core", "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "if",
    "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "self", "serde", "static", "std", "struct", "test", "trait", "type", "use",
];

/// What to make.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eventfabric plugin new orders
  eventfabric plugin new orders --dir services/orders/projection
  eventfabric plugin new orders --sdk ~/src/eventfabric        # the SDK of a checkout

Then: cd orders && eventfabric dev")]
pub(super) struct New {
    /// The projection: [a-z][a-z0-9_]*, at most 48 characters; the schema of its tables is called so, too
    name: String,
    /// The language
    #[arg(long, value_enum, default_value_t)]
    lang: Language,
    /// Where to make it: a folder that is empty or not there yet [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The SDK: a checkout of EventFabric, or the address of its git repository
    /// [default: the checkout that this program or this folder is in, or the repository that the program
    /// was built from]
    #[arg(long, value_name = "PATH|URL")]
    sdk: Option<String>,
}

/// The languages that there is a template for.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Language {
    #[default]
    Rust,
}

pub(super) fn run(command: &New) -> anyhow::Result<()> {
    let name = &command.name;
    check_name(name).map_err(|why| {
        exit::bad_input(format!("`{name}` cannot be the name of a plugin: {why}"))
    })?;
    let Language::Rust = command.lang;
    if NO_CRATES.contains(&name.as_str()) {
        return Err(exit::bad_input(format!(
            "`{name}` means something else in Rust, so no crate can be called so; take another name, \
             such as `{name}_view`"
        )));
    }
    let dir = command.dir.clone().unwrap_or_else(|| name.into());
    if std::fs::read_dir(&dir).is_ok_and(|mut files| files.next().is_some()) {
        return Err(exit::bad_input(format!(
            "{} is there already, and not empty; name another folder with --dir",
            dir.display()
        )));
    }
    let sdk = sdk(command.sdk.as_deref())?;
    for (file, text) in FILES {
        let path = dir.join(file);
        let text = text.replace("{{name}}", name).replace("{{sdk}}", &sdk);
        write(&path, &text).map_err(|error| {
            exit::bad_input(format!("cannot write {}: {error}", path.display()))
        })?;
    }
    let there = dir.display();
    output::text(&format!(
        "made the plugin `{name}` in {there}\n\n  \
         cd {there}\n  \
         eventfabric dev            # builds on every save, runs the scenarios, shows the rows\n  \
         eventfabric plugin test    # the scenarios, once\n\n\
         README.md there has the rest\n"
    ))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

/// The dependency on the SDK, as Cargo.toml has it.
fn sdk(given: Option<&str>) -> anyhow::Result<String> {
    if let Some(given) = given {
        if given.contains("://") || given.starts_with("git@") {
            return Ok(from_git(given));
        }
        return found_in(Path::new(given)).ok_or_else(|| {
            exit::bad_input(format!(
                "{given} is no checkout of EventFabric: there is no sdk/rust in it"
            ))
        });
    }
    let places = [std::env::current_dir(), std::env::current_exe()];
    let checkout = places.iter().flatten().flat_map(|place| place.ancestors()).find_map(found_in);
    if let Some(checkout) = checkout {
        return Ok(checkout);
    }
    match env!("CARGO_PKG_REPOSITORY") {
        "" => Err(exit::bad_input(
            "where is the SDK? This program was built without the address of its repository: give --sdk \
             with a checkout of EventFabric, or with the address of a git repository that has one",
        )),
        repository => Ok(from_git(repository)),
    }
}

/// The tag of this program's own version: SDK and host speak the same contract.
fn from_git(url: &str) -> String {
    format!("{{ git = {}, tag = \"v{}\" }}", quoted(url), env!("CARGO_PKG_VERSION"))
}

/// The SDK of a checkout, where this is one.
fn found_in(checkout: &Path) -> Option<String> {
    let sdk = checkout.join("sdk/rust");
    let contract = checkout.join("wit/projection.wit");
    let manifest = std::fs::read_to_string(sdk.join("Cargo.toml")).ok()?;
    if !manifest.contains("name = \"eventfabric-sdk\"") || !contract.is_file() {
        return None;
    }
    let sdk = sdk.canonicalize().ok()?;
    Some(format!("{{ path = {} }}", quoted(&sdk.to_string_lossy())))
}

/// A string as TOML has it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
