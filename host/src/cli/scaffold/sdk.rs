//! Where the SDK of a new plugin is from, as the manifests of its language say it.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::cli::build::Language;
use crate::cli::exit;

/// What can't stand in the path of a URL as it is.
const NO_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'#').add(b'?').add(b'"').add(b'\\');

/// The dependency on the SDK.
///
/// # Errors
/// There is none at the place that was given, or nobody knows where one is.
pub(super) fn sdk(given: Option<&str>, language: Language) -> anyhow::Result<String> {
    if let Some(given) = given {
        if given.contains("://") || given.starts_with("git@") {
            return from_git(given, language);
        }
        let found = found_in(Path::new(given), language).ok_or_else(|| {
            exit::bad_input(format!(
                "{given} is no checkout of EventFabric: there is no sdk/{} in it",
                language.folder()
            ))
        });
        return Ok(from_folder(&found?, language));
    }
    let places = [std::env::current_dir(), std::env::current_exe()];
    let around = places.iter().flatten().flat_map(|place| place.ancestors());
    match (around.into_iter().find_map(|it| found_in(it, language)), env!("CARGO_PKG_REPOSITORY")) {
        (Some(folder), _) => Ok(from_folder(&folder, language)),
        (None, "") => Err(exit::bad_input(
            "where is the SDK? This program was built without the address of its repository: give --sdk \
             with a checkout of EventFabric, or with the address of a git repository that has one",
        )),
        (None, repository) => from_git(repository, language),
    }
}

/// The tag of this program's own version: SDK and host speak the same contract.
fn from_git(url: &str, language: Language) -> anyhow::Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    match language {
        Language::Rust => Ok(format!("{{ git = {}, tag = \"v{version}\" }}", quoted(url))),
        Language::Python => Ok(format!(" @ git+{url}@v{version}#subdirectory=sdk/python")),
        Language::Typescript | Language::Go | Language::C => Err(exit::bad_input(format!(
            "the tools of this language take no folder of a git repository: clone it (`git clone -b v{version} \
             {url}`), and give --sdk with the folder"
        ))),
    }
}

fn from_folder(folder: &Path, language: Language) -> String {
    let path = folder.to_string_lossy();
    match language {
        Language::Rust => format!("{{ path = {} }}", quoted(&path)),
        Language::Typescript => format!("file:{path}"),
        Language::Python => format!(" @ file://{}", utf8_percent_encode(&path, NO_PATH)),
        // A path with a space stands in quotes in a go.mod, and so does any other.
        Language::Go => quoted(&path),
        Language::C => path.replace('\\', "/"),
    }
}

/// The SDK of a checkout, where this is one.
fn found_in(checkout: &Path, language: Language) -> Option<PathBuf> {
    let contract = std::fs::read_to_string(checkout.join("wit/projection.wit")).ok()?;
    let sdk = checkout.join("sdk").join(language.folder());
    let is_ours = contract.contains("package eventfabric:projection@") && sdk.is_dir();
    is_ours.then(|| sdk.canonicalize().ok())?
}

/// A string as TOML and go.mod have it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
