//! `eventfabric plugin grants|show|learn`

use chrono::SecondsFormat;

use super::connect::Context;
use super::{exit, output, projections};
use crate::plugin;
use crate::sandbox::{Given, Grant, SandboxError, SqlErrorKind, StatementInfo};

/// Grants hold for every host at once, in this database.
#[derive(Debug, clap::Args)]
pub(super) struct Grants {
    /// The plugin, deployed already or not
    name: String,
    /// Let it read a table or view (read:SCHEMA.TABLE, or read:PLUGIN.* for all of another plugin's), call a
    /// function (call:SCHEMA.FUNCTION(TYPES); call-definer:… for a SECURITY DEFINER one), append events to
    /// streams of an aggregate (append:AGGREGATE), or send requests to a server (https:HOST:PORT, or
    /// http:HOST:PORT)
    #[arg(long, value_name = "GRANT")]
    add: Vec<Grant>,
    /// Take such a grant away
    #[arg(long, value_name = "GRANT")]
    remove: Vec<Grant>,
    /// Who you are
    #[arg(long, env = "USER")]
    by: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, command: Grants) -> anyhow::Result<()> {
    let Grants { name, add, remove, by, json } = command;
    context.pool().await?;
    let sandbox = context.sandbox().await?;
    if !add.is_empty() || !remove.is_empty() {
        let changed = sandbox.change_grants(&name, &add, &remove, by.as_deref()).await;
        let left = changed.map_err(|error| match error {
            error @ (SandboxError::Grant { .. }
            | SandboxError::NotGranted { .. }
            | SandboxError::Name(..)) => exit::refused(&error, error.to_string()),
            other => other.into(),
        })?;
        for statement in left {
            eprintln!(
                "warning: {name} keeps a right that somebody else has given it, which the host cannot \
                 take away; no statement of it is let through, but run this: {statement}"
            );
        }
    }
    table(&sandbox.grants(&name).await?, json)
}

fn table(grants: &[Given], json: bool) -> anyhow::Result<()> {
    output::list(grants, json, &["grant", "since", "by"], |given| {
        vec![
            given.grant.to_string(),
            given.granted_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            given.granted_by.clone().unwrap_or_default(),
        ]
    })
}

/// A deployed plugin, as the database knows it.
#[derive(serde::Serialize)]
struct Shown {
    name: String,
    version: String,
    grants: Vec<Given>,
    statements: Vec<StatementInfo>,
}

/// The SHA-256 of the version that is active.
async fn active(context: &Context, name: &str) -> anyhow::Result<String> {
    let pool = context.pool().await?;
    let registered = plugin::registered(&pool).await?.into_iter().find(|row| row.name == name);
    let registered = registered.ok_or_else(|| {
        let hint = "see `eventfabric projections list`";
        exit::bad_input(format!("no plugin `{name}` is deployed here ({hint})"))
    })?;
    Ok(registered.version)
}

pub(super) async fn learn(context: &Context, name: &str, sql: &[String]) -> anyhow::Result<()> {
    let version = active(context, name).await?;
    let plugin = context.sandbox().await?.learning(name, &version).await?;
    for statement in sql {
        plugin.admit(statement).await.map_err(|error| match error.kind {
            SqlErrorKind::Denied | SqlErrorKind::Invalid | SqlErrorKind::Limit => {
                exit::refused(&error, format!("`{statement}`: {error}"))
            }
            _ => error.into(),
        })?;
    }
    output::line(&format!("{name} has {} statements now", plugin.manifest().len()))
}

pub(super) async fn show(context: &Context, name: &str, json: bool) -> anyhow::Result<()> {
    let version = active(context, name).await?;
    let sandbox = context.sandbox().await?;
    let shown = Shown {
        name: name.to_owned(),
        grants: sandbox.grants(name).await?,
        statements: sandbox.version(name, &version).await?.manifest(),
        version,
    };
    if json {
        return output::value(&shown);
    }
    output::line(&format!("{name}, version {}", projections::short(&shown.version)))?;
    table(&shown.grants, false)?;
    let header = ["statement", "reads", "writes", "by grant"];
    output::table(
        &header,
        shown.statements.into_iter().map(|statement| {
            let lists = [statement.reads, statement.writes, statement.grants];
            let lists = lists.map(|list| list.join("\n"));
            [statement.text].into_iter().chain(lists).collect()
        }),
    )
}
