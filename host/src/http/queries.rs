//! `GET /v1/query/{name}` and `GET /v1/query/{name}/{query}`

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::extract::{Confined, Name, QueryName, Tenant};
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{QueryProblems, ReadProblems, json};
use super::state::Api;
use crate::projection::{Parameter, Query};
use crate::runner::{QueryError, QueryRequest};

/// What a parameter may be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryParameter)]
struct ParameterBody {
    name: String,
    /// One sentence for people.
    text: String,
    /// `boolean`, `int64`, `float64`, `numeric`, `text`, `uuid`, `timestamptz` (RFC 3339) or `date`.
    r#type: String,
    /// There is no answer without it.
    required: bool,
}

impl From<&Parameter> for ParameterBody {
    fn from(parameter: &Parameter) -> Self {
        let kind = serde_json::to_value(parameter.r#type).unwrap_or_default();
        Self {
            name: parameter.name.clone(),
            text: parameter.text.clone(),
            r#type: kind.as_str().unwrap_or_default().to_owned(),
            required: parameter.required,
        }
    }
}

/// A query that a plugin answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Query)]
struct QueryBody {
    name: String,
    /// One sentence for people.
    text: String,
    /// Its answer is about the tenant of the request alone. Tokens for some tenants may ask such
    /// queries only.
    per_tenant: bool,
    parameters: Vec<ParameterBody>,
}

impl From<&Query> for QueryBody {
    fn from(query: &Query) -> Self {
        Self {
            name: query.name.clone(),
            text: query.text.clone(),
            per_tenant: query.per_tenant,
            parameters: query.parameters.iter().map(Into::into).collect(),
        }
    }
}

/// The queries of a plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queries)]
pub(super) struct QueriesBody {
    plugin: String,
    /// In the plugin's own order.
    queries: Vec<QueryBody>,
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Answer)]
pub(super) struct AnswerBody {
    /// The names of the columns, also where there is no row.
    columns: Vec<String>,
    /// An object a row. Integers are numbers (also those of 64 bits), json is itself; numeric, times
    /// (RFC 3339) and all other types are text, and so is what JSON has no number for, such as NaN.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, serde_json::Value>>)]
    rows: Box<RawValue>,
}

/// Which queries a plugin answers
#[utoipa::path(
    get,
    path = "/query/{name}",
    operation_id = "listQueries",
    tag = "queries",
    params(("name" = String, Path, description = "The plugin")),
    responses((status = 200, description = "Its queries", body = QueriesBody), ReadProblems),
)]
pub(super) async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Name(plugin): Name,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let active = tenant.0.host(&api).answering(&plugin).map_err(of_query)?;
    let queries = active.plugin.queries().iter().map(Into::into).collect();
    Ok(json(&QueriesBody { plugin, queries }))
}

/// Ask a plugin
///
/// It answers from its tables as they are, also while it is paused or being rebuilt. The parameters are
/// those of the query.
#[utoipa::path(
    get,
    path = "/query/{name}/{query}",
    operation_id = "query",
    tag = "queries",
    params(
        ("name" = String, Path, description = "The plugin"),
        ("query" = String, Path, description = "One of its queries"),
        ("parameters" = Option<std::collections::BTreeMap<String, String>>, Query, style = Form,
            explode, description = "The parameters of the query, see `listQueries`"),
    ),
    responses((status = 200, description = "The answer", body = AnswerBody), QueryProblems),
)]
pub(super) async fn ask(
    State(api): State<Api>,
    tenant: Tenant,
    Confined(confined): Confined,
    QueryName { plugin, query }: QueryName,
    params: Params,
) -> Result<Response, Problem> {
    let request = QueryRequest {
        plugin: &plugin,
        query: &query,
        tenant: &tenant.0.tenant,
        confined,
        parameters: params.all(),
    };
    let answer = tenant.0.host(&api).query(request).await.map_err(of_query)?;
    let rows =
        answer.to_json().and_then(|json| RawValue::from_string(json).map_err(|e| e.to_string()));
    let rows = rows.map_err(|why| Problem::new(Code::QueryFailed, why))?;
    Ok(json(&AnswerBody { columns: answer.columns, rows }))
}

fn of_query(error: QueryError) -> Problem {
    let code = match &error {
        QueryError::UnknownPlugin(_) => Code::ProjectionNotFound,
        QueryError::UnknownQuery { .. } => Code::QueryNotFound,
        QueryError::NotLoaded(_) | QueryError::Busy(_) => Code::Busy,
        QueryError::NotConfined(_) => Code::TenantForbidden,
        QueryError::Invalid(_) => Code::InvalidRequest,
        QueryError::Refused(_) => Code::QueryRefused,
        QueryError::Failed(_) => Code::QueryFailed,
        QueryError::Database(error) => return Problem::of_database(error),
    };
    Problem::new(code, error.to_string())
}
