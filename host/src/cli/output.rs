//! What commands print: tables for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

/// Prints a table, or the same as JSON.
pub(super) fn list<T: serde::Serialize>(
    rows: &[T],
    json: bool,
    header: &[&str],
    cells: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<()> {
    if json {
        return value(&rows);
    }
    table(header, rows.iter().map(cells))
}

/// A time in a table.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Prints a table.
pub(super) fn table(
    header: &[impl AsRef<str>],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> anyhow::Result<()> {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.iter().map(|name| name.as_ref().to_owned()));
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    line(&table.to_string())
}

/// Prints something as JSON.
pub(super) fn value(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints a line. A reader that has gone away (`| head`) ends the program quietly.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    self::text(&format!("{text}\n"))
}

/// The same for text that ends its lines itself.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => Ok(result?),
    }
}

/// The same for what must stay on its line.
pub(super) fn on_one_line(text: &str) -> String {
    printable(text).replace('\n', char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]))
}

/// Text from events and plugins, without the characters that move a terminal's cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// A word that says that all is well: green on a terminal.
pub(super) fn good(text: &str) -> String {
    painted(text, 32)
}

/// A word that says that something is not: red on a terminal.
pub(super) fn bad(text: &str) -> String {
    painted(text, 31)
}

fn painted(text: &str, colour: u8) -> String {
    // https://no-color.org
    match io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => format!("\x1b[{colour}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}
