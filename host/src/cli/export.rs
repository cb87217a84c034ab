//! `eventfabric dlq show ID --export FILE`

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::connect::Context;
use super::{exit, output};
use crate::event::Event;
use crate::runner;
use crate::store::DeadLetter;

/// Writes a capsule of a dead letter, and its component beside it.
pub(super) async fn run(
    context: &Context,
    letter: &DeadLetter,
    event: Option<Event>,
    file: &Path,
    json: bool,
) -> anyhow::Result<()> {
    let component = file.with_extension("wasm");
    if component == file {
        return Err(exit::bad_input(
            "the component is written beside the capsule, as a .wasm: name a file that ends otherwise",
        ));
    }
    let event = event.ok_or_else(|| {
        exit::bad_input(format!("the event of letter {} is no longer in the log", letter.id))
    })?;
    let host = context.host(None).await?;
    let capsule = runner::rerun(host.registry(), letter, event).await;
    host.close().await;
    let (capsule, bytes) = capsule?;
    write(file, serde_json::to_string_pretty(&capsule)?.as_bytes())?;
    write(&component, &bytes)?;
    if json {
        return output::value(&serde_json::json!({
            "capsule": file,
            "component": component,
            "again": capsule.again,
        }));
    }
    let again = match &capsule.again {
        None => format!(
            "handled once more it went well: `eventfabric dlq requeue {}` gives it back",
            letter.id
        ),
        Some(again) if again.error == capsule.letter.error => {
            "it fails as it did before".to_owned()
        }
        Some(again) => format!("it fails in another way now: {}", output::printable(&again.error)),
    };
    output::line(&format!(
        "wrote {} (statements: {}) and {}; {again}\n\
         They hold the event and rows of the tables: keep them as you keep those. To go on:\n  \
         eventfabric plugin replay {}",
        file.display(),
        capsule.steps.len(),
        component.display(),
        file.display()
    ))
}

/// For nobody else to read.
fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    opened
        .and_then(|mut opened| opened.write_all(bytes))
        .map_err(|error| exit::bad_input(format!("{} cannot be written: {error}", file.display())))
}
