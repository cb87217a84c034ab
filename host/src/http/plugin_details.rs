//! `GET /v1/plugins/{name}`: what a plugin is and what it may do.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Name, Operator};
use super::params::Params;
use super::plugins::PluginBody;
use super::problem::{Code, Problem};
use super::responses::{ReadProblems, json};
use super::state::Api;
use crate::plugin::Limits;
use crate::projection::TopicFilter;
use crate::sandbox::{Given, SandboxConfig, SandboxError, StatementInfo, TableInfo};

/// A plugin with what it may do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginDetails)]
pub(super) struct DetailsBody {
    #[serde(flatten)]
    plugin: PluginBody,
    /// The interfaces that it imports, where it is loaded.
    imports: Vec<String>,
    /// Its migrations, in order, where it is loaded.
    migrations: Vec<String>,
    /// Which topics it takes, where it is loaded; matters for an async one.
    topics: Option<String>,
    /// What an operator lets it use.
    grants: Vec<GivenBody>,
    /// What it may use.
    limits: Vec<LimitBody>,
    /// The SQL that its active version uses.
    statements: Vec<StatementBody>,
    /// Its tables and views.
    tables: Vec<TableBody>,
}

/// A grant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GivenGrant)]
struct GivenBody {
    /// Such as `read:public.airports`.
    grant: String,
    /// Since when.
    granted_at: DateTime<Utc>,
    /// By whom.
    granted_by: Option<String>,
}

/// A limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limit)]
struct LimitBody {
    /// The setting, such as `limits.batch`.
    setting: String,
    /// Its value.
    value: String,
}

/// A statement of a plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statement)]
struct StatementBody {
    /// What the plugin wrote.
    text: String,
    /// The tables and views that it reads.
    reads: Vec<String>,
    /// The tables that it writes.
    writes: Vec<String>,
    /// What it does by a grant.
    grants: Vec<String>,
}

/// A table or view of a plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Table)]
struct TableBody {
    /// Its name.
    name: String,
    /// It has no rows of its own.
    is_view: bool,
    /// About how many rows it has; null where the server has not counted.
    about_rows: Option<i64>,
    /// The room that it takes with its indexes.
    bytes: i64,
    /// Its columns, each with its type.
    columns: Vec<String>,
}

impl From<Given> for GivenBody {
    fn from(given: Given) -> Self {
        let Given { grant, granted_at, granted_by } = given;
        Self { grant: grant.to_string(), granted_at, granted_by }
    }
}

impl From<StatementInfo> for StatementBody {
    fn from(StatementInfo { text, reads, writes, grants, .. }: StatementInfo) -> Self {
        Self { text, reads, writes, grants }
    }
}

impl From<TableInfo> for TableBody {
    fn from(TableInfo { name, is_view, about_rows, bytes, columns }: TableInfo) -> Self {
        let about_rows = (about_rows >= 0 && !is_view).then_some(about_rows);
        Self { name, is_view, about_rows, bytes, columns: columns.unwrap_or_default() }
    }
}

/// A plugin and what it may do
///
/// Its grants, limits, statements and tables.
#[utoipa::path(
    get,
    path = "/plugins/{name}",
    operation_id = "getPlugin",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    responses((status = 200, description = "The plugin", body = DetailsBody), ReadProblems),
)]
pub(super) async fn get(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let snapshot = api.host.registry().snapshot();
    let registered = snapshot.registered.get(&name).ok_or_else(|| unknown(&name))?;
    let active = snapshot.current(&name).map(AsRef::as_ref);
    let sandbox = api.host.registry().sandbox();
    let sql = sandbox.version(&name, &registered.version).await.map_err(of_sandbox)?;
    let tables = sandbox.tables(&name).await.map_err(of_sandbox)?;
    let grants = sandbox.grants(&name).await.map_err(of_sandbox)?;
    let description = active.map(|active| &active.plugin.description);
    let migrations = description.iter().flat_map(|description| &description.migrations);
    let limits = api.host.registry().runtime().limits().of(&name);
    Ok(json(&DetailsBody {
        plugin: PluginBody::new(registered, active),
        imports: active.map(|active| active.plugin.imports.clone()).unwrap_or_default(),
        migrations: migrations.map(|step| format!("{} {}", step.number, step.name)).collect(),
        topics: description.map(|description| topics(&description.topics)),
        grants: grants.into_iter().map(Into::into).collect(),
        limits: values(&limits, &sandbox.limits_of(&name)),
        statements: sql.manifest().into_iter().map(Into::into).collect(),
        tables: tables.into_iter().map(Into::into).collect(),
    }))
}

fn topics(topics: &TopicFilter) -> String {
    match topics {
        TopicFilter::All => "all".to_owned(),
        TopicFilter::Include(topics) => format!("only {}", topics.join(", ")),
        TopicFilter::Exclude(topics) => format!("all but {}", topics.join(", ")),
    }
}

fn values(limits: &Limits, sql: &SandboxConfig) -> Vec<LimitBody> {
    let own = [
        ("limits.memory_bytes", limits.memory_bytes.to_string()),
        ("limits.batch", format!("{:?}", limits.batch)),
        ("limits.host_calls", limits.host_calls.to_string()),
        ("limits.statements", limits.statements.to_string()),
        ("limits.rows_written", limits.rows_written.to_string()),
        ("limits.parameter_bytes", limits.parameter_bytes.to_string()),
        ("limits.log_lines", limits.log_lines.to_string()),
        ("sandbox.max_statements", sql.max_statements.to_string()),
        ("sandbox.max_rows", sql.max_rows.to_string()),
        ("sandbox.max_result_bytes", sql.max_result_bytes.to_string()),
        (
            "sandbox.schema_bytes",
            sql.schema_bytes.map_or_else(|| "no limit".to_owned(), |bytes| bytes.to_string()),
        ),
        ("sandbox.strict", sql.strict.to_string()),
    ];
    own.into_iter().map(|(name, value)| LimitBody { setting: name.to_owned(), value }).collect()
}

fn unknown(name: &str) -> Problem {
    Problem::new(Code::ProjectionNotFound, format!("there is no plugin `{name}`"))
}

/// What the sandbox says to somebody who asks about a plugin.
pub(super) fn of_sandbox(error: SandboxError) -> Problem {
    match error {
        SandboxError::Unknown(name) | SandboxError::Name(name, _) => unknown(&name),
        SandboxError::Database { source, .. } => Problem::of_database(&source),
        error => Problem::internal(&error),
    }
}
