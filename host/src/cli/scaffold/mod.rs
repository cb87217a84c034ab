//! `eventfabric plugin new`

mod sdk;
mod templates;

use std::path::{Path, PathBuf};

use super::build::Language;
use super::{exit, output};
use crate::plugin::check_name;

/// What to make.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eventfabric plugin new orders
  eventfabric plugin new orders --lang python
  eventfabric plugin new orders --dir services/orders/projection
  eventfabric plugin new orders --sdk ~/src/eventfabric        # the SDK of a checkout

Then: cd orders && eventfabric dev")]
pub(super) struct New {
    /// The projection: [a-z][a-z0-9_]*, at most 48 characters; the schema of its tables is called so, too
    name: String,
    /// The language
    #[arg(long, value_enum, default_value_t, alias = "language")]
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

pub(super) fn run(command: &New) -> anyhow::Result<()> {
    let name = &command.name;
    check_name(name).map_err(|why| {
        exit::bad_input(format!("`{name}` cannot be the name of a plugin: {why}"))
    })?;
    if let Some(why) = command.lang.refuses(name) {
        return Err(exit::bad_input(format!(
            "`{name}` {why}; take another name, such as `{}_view`",
            name.trim_end_matches('_')
        )));
    }
    let dir = command.dir.clone().unwrap_or_else(|| name.into());
    if std::fs::read_dir(&dir).is_ok_and(|mut files| files.next().is_some()) {
        return Err(exit::bad_input(format!(
            "{} is there already, and not empty; name another folder with --dir",
            dir.display()
        )));
    }
    let sdk = sdk::sdk(command.sdk.as_deref(), command.lang)?;
    for (file, text) in command.lang.template() {
        let path = dir.join(templates::place(file));
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
