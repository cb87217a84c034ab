//! `GET /v1/plugins/{name}`: what a plugin is and what it may do.

use std::fmt::Debug;

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

/// All of them: a limit that is new does not compile without a place here.
fn values(limits: &Limits, sql: &SandboxConfig) -> Vec<LimitBody> {
    let Limits {
        component_bytes,
        compile_time,
        compile_memory,
        memory_bytes,
        table_elements,
        stack_bytes,
        instances,
        batch,
        describe,
        query,
        host_calls,
        statements,
        rows_written,
        parameter_bytes,
        events_appended,
        appended_bytes,
        chain,
        requests,
        request_time,
        request_time_total,
        request_bytes,
        answer_bytes,
        log_lines,
        log_line_bytes,
        plugin: _,
    } = limits;
    let SandboxConfig {
        max_statements,
        max_statement_bytes,
        max_rows,
        max_result_bytes,
        schema_bytes,
        max_relations,
        schema_prefix: _,
        strict,
        allow_superuser: _,
        migration_timeout,
        plugin: _,
    } = sql;
    let own: [(&str, &dyn Debug); _] = [
        ("limits.memory_bytes", memory_bytes),
        ("limits.table_elements", table_elements),
        ("limits.stack_bytes", stack_bytes),
        ("limits.instances", instances),
        ("limits.batch", batch),
        ("limits.query", query),
        ("limits.host_calls", host_calls),
        ("limits.statements", statements),
        ("limits.rows_written", rows_written),
        ("limits.parameter_bytes", parameter_bytes),
        ("limits.events_appended", events_appended),
        ("limits.appended_bytes", appended_bytes),
        ("limits.chain", chain),
        ("limits.requests", requests),
        ("limits.request_time", request_time),
        ("limits.request_time_total", request_time_total),
        ("limits.request_bytes", request_bytes),
        ("limits.answer_bytes", answer_bytes),
        ("limits.log_lines", log_lines),
        ("limits.log_line_bytes", log_line_bytes),
        ("limits.component_bytes", component_bytes),
        ("limits.compile_time", compile_time),
        ("limits.compile_memory", compile_memory),
        ("limits.describe", describe),
        ("sandbox.max_statements", max_statements),
        ("sandbox.max_statement_bytes", max_statement_bytes),
        ("sandbox.max_rows", max_rows),
        ("sandbox.max_result_bytes", max_result_bytes),
        ("sandbox.max_relations", max_relations),
        ("sandbox.strict", strict),
        ("sandbox.migration_timeout", migration_timeout),
    ];
    let text = |(name, value): (&str, &dyn Debug)| LimitBody {
        setting: name.to_owned(),
        value: format!("{value:?}"),
    };
    let mut all: Vec<LimitBody> = own.into_iter().map(text).collect();
    all.push(LimitBody {
        setting: "sandbox.schema_bytes".to_owned(),
        value: schema_bytes.map_or_else(|| "no limit".to_owned(), |bytes| bytes.to_string()),
    });
    all
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
