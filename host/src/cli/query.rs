//! `eventfabric query`

use super::connect::Context;
use super::exit::{self, Exit};
use super::{args, output};
use crate::sandbox::{Sandbox, SandboxError, SqlErrorKind, TextRow};

/// Rows that are taken from the server, and printed, at a time.
const PAGE: usize = 1000;

pub(super) async fn run(context: &Context, command: args::Query) -> anyhow::Result<()> {
    let sandbox = Sandbox::new(context.pool().await?, context.settings.sandbox.clone());
    let mut reading = sandbox.read(&command.plugin, &command.sql).await.map_err(blame)?;
    let mut printer = Printer { columns: reading.columns.clone(), json: command.json, printed: 0 };
    let limit = if command.limit == 0 { usize::MAX } else { command.limit };
    loop {
        let left = limit - printer.printed;
        // One more than is wanted tells whether there are more.
        let wanted = PAGE.min(left.saturating_add(1));
        let mut rows = reading.page(wanted).await.map_err(blame)?;
        let (last, more) = (rows.len() < wanted, rows.len() > left);
        rows.truncate(left);
        printer.print(rows)?;
        if last || more {
            printer.end()?;
            if more {
                let message = format!(
                    "these are the first {limit} rows, and there are more: give a greater --limit, or \
                     0 for all"
                );
                return Err(Exit { code: exit::FAILED, message }.into());
            }
            return Ok(());
        }
    }
}

/// What is wrong: the query, or the database.
fn blame(error: SandboxError) -> anyhow::Error {
    match error {
        SandboxError::Database { source, .. } => source.into(),
        SandboxError::Sql(error) => match error.kind {
            SqlErrorKind::Connection => {
                Exit { code: exit::UNREACHABLE, message: error.to_string() }.into()
            }
            SqlErrorKind::Retryable | SqlErrorKind::Aborted => error.into(),
            _ => exit::refused(&error, error.to_string()),
        },
        error => exit::refused(&error, error.to_string()),
    }
}

/// Prints pages as they come: as tables, or as one array of JSON objects.
struct Printer {
    columns: Vec<String>,
    json: bool,
    printed: usize,
}

impl Printer {
    fn print(&mut self, rows: Vec<TextRow>) -> anyhow::Result<()> {
        let first = self.printed == 0;
        self.printed += rows.len();
        if !self.json {
            if rows.is_empty() && !first {
                return Ok(());
            }
            let cells = |row: TextRow| {
                row.into_iter().map(|cell| cell.unwrap_or_else(|| "∅".to_owned())).collect()
            };
            return output::table(&self.columns, rows.into_iter().map(cells));
        }
        let mut text = String::new();
        for (at, row) in rows.into_iter().enumerate() {
            let object: serde_json::Map<String, serde_json::Value> =
                self.columns.iter().cloned().zip(row.into_iter().map(Into::into)).collect();
            text.push_str(if first && at == 0 { "[\n  " } else { ",\n  " });
            text.push_str(&serde_json::to_string(&object)?);
        }
        output::text(&text)
    }

    fn end(&self) -> anyhow::Result<()> {
        match (self.json, self.printed) {
            (false, _) => Ok(()),
            (true, 0) => output::line("[]"),
            (true, _) => output::line("\n]"),
        }
    }
}
