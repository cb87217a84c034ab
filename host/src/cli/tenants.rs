//! `eventfabric tenants add|list|migrate|remove`

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use clap::Subcommand;
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::connect::Context;
use super::exit::{self, Exit, UNREACHABLE};
use super::output;
use crate::db;
use crate::event::TenantId;
use crate::store::migrate::Status;
use crate::tenancy::{
    DatabaseUrl, Directory, Entry, Source, TenancyConfig, check_all, migrate_all,
};

#[derive(Debug, clap::Args)]
pub(super) struct Tenants {
    #[command(subcommand)]
    command: TenantsCommand,
}

#[derive(Debug, Subcommand)]
enum TenantsCommand {
    /// Add a tenant to the directory, which is a table of the database that this command is given
    Add {
        /// The tenant
        #[arg(value_name = "TENANT")]
        tenant: TenantId,
        /// Its own database, postgres://user:password@host:5432/database; `-` reads it from stdin
        #[arg(long, value_name = "URL")]
        url: String,
        /// Make the database, and its tables
        #[arg(long)]
        create: bool,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Which tenants there are, and where their databases are
    List {
        /// Ask each database whether it answers and what it lacks
        #[arg(long)]
        check: bool,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Make or update the tables in the databases of all tenants, or of those that are named
    Migrate {
        /// Only these
        #[arg(value_name = "TENANT")]
        tenants: Vec<TenantId>,
        /// Databases at the same time [default: tenancy.at_once]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        jobs: Option<u16>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a tenant out of the directory; its database and all that is in it stay as they are
    Remove {
        /// The tenant
        #[arg(value_name = "TENANT")]
        tenant: TenantId,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(context: &Context, command: Tenants) -> anyhow::Result<()> {
    let directory = context.directory().await?;
    let config = &context.settings.tenancy;
    match command.command {
        TenantsCommand::Add { tenant, url, create, json } => {
            add(&directory, config, tenant, &url, create, json).await
        }
        TenantsCommand::List { check, json } => list(&directory, config, check, json).await,
        TenantsCommand::Migrate { tenants, jobs, json } => {
            let jobs = jobs.map_or(config.at_once, usize::from);
            migrate(&directory, config, &tenants, jobs, json).await
        }
        TenantsCommand::Remove { tenant, json } => remove(&directory, &tenant, json).await,
    }
}

async fn add(
    directory: &Directory,
    config: &TenancyConfig,
    tenant: TenantId,
    url: &str,
    create: bool,
    json: bool,
) -> anyhow::Result<()> {
    let url = match url {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("the address on stdin")?;
            text
        }
        url => url.to_owned(),
    };
    let url: DatabaseUrl =
        url.parse().map_err(|error| exit::bad_input(format!("--url is {error}")))?;
    let entry = Entry {
        tenant: tenant.clone(),
        database: Ok(url.clone()),
        source: Source::Table,
        added_at: None,
    };
    let there = directory.find(&tenant).await?;
    if there.is_none() {
        if create {
            db::create_database(&url.server(), url.database())
                .await
                .with_context(|| format!("the database {url} was not made"))?;
            let made = migrate_all(vec![entry.clone()], 1, config.patience).next().await;
            if let Some(Err(reason)) = made.map(|made| made.outcome) {
                anyhow::bail!("the database {url} was made, and not migrated: {reason}");
            }
        }
        let checked = check_all(vec![entry], 1, config.patience).next().await;
        if let Some(Err(reason)) = checked.map(|checked| checked.outcome) {
            let message = format!("{tenant} was not added: the database {url}: {reason}");
            return Err(Exit { code: UNREACHABLE, message }.into());
        }
    }
    let added = directory.add(&tenant, &url).await?;
    if json {
        return output::value(&serde_json::json!({
            "tenant": tenant, "database": url.to_string(), "added": added,
            "created": create && there.is_none(),
        }));
    }
    output::line(&match (added, create) {
        (false, _) => format!("{tenant} was there already, at {url}"),
        (true, true) => format!("added {tenant}, with a new database at {url}"),
        (true, false) => {
            format!("added {tenant}, at {url}; `eventfabric tenants migrate` makes what it lacks")
        }
    })
}

/// A tenant as `tenants list` shows it.
#[derive(serde::Serialize)]
struct Row {
    tenant: TenantId,
    database: String,
    source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_at: Option<chrono::DateTime<chrono::Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Row {
    fn new(entry: &Entry, checked: Option<Result<Status, String>>) -> Self {
        let (state, pending, error) = match checked {
            None => (None, None, None),
            Some(Ok(status)) if status.is_current() => (Some("current"), None, None),
            Some(Ok(status)) => (Some("needs migrations"), Some(status.pending), None),
            Some(Err(reason)) => (Some("unusable"), None, Some(reason)),
        };
        Self {
            tenant: entry.tenant.clone(),
            database: entry.address(),
            source: entry.source,
            added_at: entry.added_at,
            state,
            pending,
            error,
        }
    }
}

async fn list(
    directory: &Directory,
    config: &TenancyConfig,
    check: bool,
    json: bool,
) -> anyhow::Result<()> {
    let entries = directory.list().await?;
    let mut rows: Vec<Row> = if check {
        let checked = check_all(entries, config.at_once, config.patience);
        checked.map(|checked| Row::new(&checked.entry, Some(checked.outcome))).collect().await
    } else {
        entries.iter().map(|entry| Row::new(entry, None)).collect()
    };
    rows.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    let header = ["tenant", "database", "stands in", "state"];
    output::list(&rows, json, &header[..if check { 4 } else { 3 }], |row| {
        let source = match row.source {
            Source::Settings => "settings",
            Source::Table => "table",
        };
        let mut cells = vec![row.tenant.to_string(), row.database.clone(), source.to_owned()];
        if let Some(state) = row.state {
            let pending = row.pending.iter().flatten().copied().collect::<Vec<_>>().join(", ");
            let more = row.error.clone().unwrap_or(pending);
            let more = if more.is_empty() { more } else { format!(": {more}") };
            cells.push(format!("{state}{more}"));
        }
        cells
    })
}

async fn migrate(
    directory: &Directory,
    config: &TenancyConfig,
    only: &[TenantId],
    jobs: usize,
    json: bool,
) -> anyhow::Result<()> {
    let mut entries = directory.list().await?;
    for tenant in only {
        if !entries.iter().any(|entry| entry.tenant == *tenant) {
            return Err(exit::bad_input(format!(
                "there is no tenant {tenant}: see `tenants list`"
            )));
        }
    }
    if !only.is_empty() {
        entries.retain(|entry| only.contains(&entry.tenant));
    }
    let bar = progress(entries.len());
    let mut done: Vec<_> = migrate_all(entries, jobs, config.patience)
        .inspect(|one| {
            if let Some(bar) = &bar {
                bar.set_message(output::on_one_line(one.entry.tenant.as_str()));
                bar.inc(1);
            }
        })
        .collect()
        .await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    done.sort_by(|a, b| a.entry.tenant.cmp(&b.entry.tenant));
    let failed = done.iter().filter(|one| one.outcome.is_err()).count();
    if json {
        let rows: Vec<_> = done
            .iter()
            .map(|one| match &one.outcome {
                Ok(report) => serde_json::json!({
                    "tenant": one.entry.tenant,
                    "applied": report.applied.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                    "already": report.already,
                }),
                Err(reason) => serde_json::json!({ "tenant": one.entry.tenant, "error": reason }),
            })
            .collect();
        output::value(&rows)?;
    } else {
        for one in &done {
            let what = match &one.outcome {
                Ok(report) if report.applied.is_empty() => "nothing to do".to_owned(),
                Ok(report) => format!("applied {}", report.applied.len()),
                Err(reason) => format!("FAILED: {reason}"),
            };
            output::line(&output::on_one_line(&format!("{}: {what}", one.entry.tenant)))?;
        }
    }
    anyhow::ensure!(
        failed == 0,
        "{failed} of {} databases were not migrated (see above); mend them and run this again, \
         those that are done have nothing left to do",
        done.len()
    );
    Ok(())
}

/// A bar, where somebody looks at it.
fn progress(databases: usize) -> Option<ProgressBar> {
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(databases as u64))?;
    if let Ok(style) =
        ProgressStyle::with_template("{bar:32} {pos}/{len} databases  {msg}  {elapsed}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    Some(bar)
}

async fn remove(directory: &Directory, tenant: &TenantId, json: bool) -> anyhow::Result<()> {
    let there = directory.find(tenant).await?;
    let removed = directory.remove(tenant).await?;
    if json {
        return output::value(&serde_json::json!({ "tenant": tenant, "removed": removed }));
    }
    match there.filter(|_| removed) {
        Some(entry) => output::line(&format!(
            "{tenant} is out of the directory; its database {} and all that is in it are untouched",
            entry.address()
        )),
        None => Err(exit::bad_input(format!("there is no tenant {tenant}: see `tenants list`"))),
    }
}
