//! `eventfabric completions` and `eventfabric manual`: the commands as shells and `man` know them.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::args::Args;
use super::{exit, output};

/// Which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eventfabric completions bash > ~/.local/share/bash-completion/completions/eventfabric
  eventfabric completions zsh  > ~/.zfunc/_eventfabric
  eventfabric completions fish > ~/.config/fish/completions/eventfabric.fish")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

/// Where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eventfabric manual ~/.local/share/man/man1 && man eventfabric-plugin-deploy")]
pub(super) struct Manual {
    /// The folder of the pages, made where it is not there
    dir: PathBuf,
}

pub(super) fn completions(command: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Args::command(), "eventfabric", &mut script);
    output::text(&String::from_utf8(script)?)
}

pub(super) fn manual(command: &Manual) -> anyhow::Result<()> {
    let dir = &command.dir;
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Args::command(), dir))
        .map_err(|error| {
            exit::bad_input(format!("cannot write the pages to {}: {error}", dir.display()))
        })
}
