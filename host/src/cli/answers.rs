//! `eventfabric plugin query`

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::connect::Context;
use super::exit::{self, Exit, UNREACHABLE};
use super::output;
use crate::event::DEFAULT_TENANT;
use crate::projection::Query;
use crate::runner::{QueryError, QueryRequest};
use crate::sandbox::RowSet;

/// What to ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eventfabric plugin query board                           # which queries it answers
  eventfabric plugin query board departures origin=JFK")]
pub(super) struct Ask {
    /// The plugin
    plugin: String,
    /// The query [default: list them]
    query: Option<String>,
    /// Its parameters
    #[arg(value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// The tenant; one that has a database of its own (see `tenants`) is answered from there
    #[arg(long, default_value = DEFAULT_TENANT)]
    tenant: String,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(context: &Context, command: Ask) -> anyhow::Result<()> {
    let host = context.host_of(&command.tenant, None).await?;
    let Some(query) = &command.query else {
        let active = host.answering(&command.plugin).map_err(blame)?;
        return list(active.plugin.queries(), command.json);
    };
    let request = QueryRequest {
        plugin: &command.plugin,
        query,
        tenant: &command.tenant,
        confined: false,
        parameters: &command.parameters,
    };
    let rows = host.query(request).await.map_err(blame)?;
    host.close().await;
    print(&rows, command.json)
}

fn list(queries: &[Query], json: bool) -> anyhow::Result<()> {
    if json {
        return output::value(&serde_json::to_value(queries)?);
    }
    let parameters = |query: &Query| {
        let one = |it: &crate::projection::Parameter| {
            let kind = serde_json::to_value(it.r#type).unwrap_or_default();
            let kind = kind.as_str().unwrap_or_default().to_owned();
            let (open, close) = if it.required { ("", "") } else { ("[", "]") };
            format!("{open}{}={kind}{close}  {}", it.name, it.text)
        };
        query.parameters.iter().map(one).collect::<Vec<_>>().join("\n")
    };
    let rows = queries.iter().map(|it| vec![it.name.clone(), it.text.clone(), parameters(it)]);
    output::table(&["query", "text", "parameters"], rows)
}

fn print(set: &RowSet, json: bool) -> anyhow::Result<()> {
    let text = set.to_json().map_err(exit::bad_input)?;
    if json {
        return output::line(&text);
    }
    let rows: Vec<HashMap<String, Box<RawValue>>> = serde_json::from_str(&text)?;
    let cell = |value: &RawValue| match value.get() {
        "null" => "∅".to_owned(),
        text => serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned()),
    };
    let rows = rows.iter().map(|row| set.columns.iter().map(|name| cell(&row[name])).collect());
    output::table(&set.columns, rows)
}

/// What is wrong: the request, the plugin, or the database.
fn blame(error: QueryError) -> anyhow::Error {
    match error {
        QueryError::Database(error) if crate::db::is_connection_lost(&error) => {
            Exit { code: UNREACHABLE, message: error.to_string() }.into()
        }
        QueryError::Database(error) => error.into(),
        QueryError::Busy(_) | QueryError::Failed(_) | QueryError::NotLoaded(_) => error.into(),
        QueryError::UnknownPlugin(_)
        | QueryError::UnknownQuery { .. }
        | QueryError::NotConfined(_)
        | QueryError::Invalid(_)
        | QueryError::Refused(_) => exit::refused(&error, error.to_string()),
    }
}
