//! `eventfabric explain`: the cause and the cure of an error, from the page that lists them all.

use super::{exit, output};

/// The codes with their causes and cures.
const PAGE: &str = include_str!("../../../docs/errors.md");

/// Which code.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eventfabric explain expected-version-conflict
  eventfabric explain                                # the codes")]
pub(super) struct Explain {
    /// As an error has it, or the `code` of an answer over HTTP; all codes where it is left out
    code: Option<String>,
}

pub(super) fn run(command: &Explain) -> anyhow::Result<()> {
    let Some(code) = &command.code else {
        let all: Vec<&str> = codes().collect();
        return output::text(&format!("{}\n", all.join("\n")));
    };
    let page = page(code).ok_or_else(|| {
        exit::bad_input(format!("there is no code `{code}`: `eventfabric explain` lists them"))
    })?;
    output::text(&format!("{page}\n"))
}

/// The codes in the order of the page.
pub(super) fn codes() -> impl Iterator<Item = &'static str> {
    sections().map(|(code, _)| code)
}

/// What the page says of a code.
pub(super) fn page(code: &str) -> Option<&'static str> {
    sections().find(|(name, _)| *name == code).map(|(_, text)| text.trim())
}

fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'))
}
