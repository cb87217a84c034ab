//! `POST /v1/plugins/{name}/rows`: an operator's query over the tables of a plugin.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Json, Name, Operator};
use super::plugin_details::of_sandbox;
use super::problem::{Code, Problem};
use super::responses::{BodyProblems, json};
use super::state::Api;
use crate::sandbox::{Sandbox, SandboxError, SqlErrorKind, TextRow};

/// Rows where the request does not say.
const ROWS: usize = 100;
/// Rows of a query of an operator, at most.
const MOST: usize = 1000;
/// Rows that are taken from the server at a time.
const STEP: usize = 50;
/// The answer to a query of an operator ends after so many bytes.
const BYTES: usize = 4 << 20;
/// How long a query of an operator may take. Its connection is closed then, which ends it on the server, too.
const TIME: Duration = Duration::from_secs(8);

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RowsQuery)]
pub(super) struct RowsQuery {
    /// One SELECT over the plugin's tables.
    sql: String,
    /// Rows, at most [default: 100].
    #[schema(minimum = 1, maximum = 1000, nullable = false)]
    limit: Option<usize>,
}

/// What was read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rows)]
pub(super) struct RowsBody {
    /// The names of the columns.
    columns: Vec<String>,
    /// The rows: values in PostgreSQL's text form.
    rows: Vec<TextRow>,
    /// There are more: beyond the limit, or some 4 MiB.
    more: bool,
}

/// Read the tables of a plugin
///
/// As `eventfabric query`: one SELECT, judged as a statement of the plugin, run as a role that may read its
/// tables and nothing else, in a transaction that can write nothing, for 8 s at most.
#[utoipa::path(
    post,
    path = "/plugins/{name}/rows",
    operation_id = "readPluginRows",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    request_body = RowsQuery,
    responses((status = 200, description = "Its rows", body = RowsBody), BodyProblems),
)]
pub(super) async fn rows(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    Json(query): Json<RowsQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(ROWS);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::new(Code::InvalidBody, format!("limit: from 1 to {MOST}")));
    }
    let Ok(_permit) = api.readings.clone().try_acquire_owned() else {
        return Err(Problem::new(
            Code::Overloaded,
            "as many queries of operators as a host takes are being answered",
        ));
    };
    let reading = read(api.host.registry().sandbox(), &name, &query.sql, limit);
    match tokio::time::timeout(TIME, reading).await {
        Ok(read) => Ok(json(&read.map_err(refused)?)),
        Err(_) => Err(Problem::new(
            Code::InvalidBody,
            format!("the query took longer than {TIME:?} and was ended; narrow it"),
        )),
    }
}

async fn read(
    sandbox: &Sandbox,
    name: &str,
    sql: &str,
    limit: usize,
) -> Result<RowsBody, SandboxError> {
    let mut reading = sandbox.read(name, sql).await?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    loop {
        // One more than is wanted tells whether there are more.
        let wanted = STEP.min(limit + 1 - rows.len());
        let page = reading.page(wanted).await?;
        let last = page.len() < wanted;
        for row in page {
            bytes += row.iter().flatten().map(String::len).sum::<usize>();
            if rows.len() == limit || (bytes > BYTES && !rows.is_empty()) {
                return Ok(RowsBody { columns: reading.columns, rows, more: true });
            }
            rows.push(row);
        }
        if last {
            return Ok(RowsBody { columns: reading.columns, rows, more: false });
        }
    }
}

/// What is wrong: the query, or the database.
fn refused(error: SandboxError) -> Problem {
    match error {
        SandboxError::Sql(error) => match error.kind {
            SqlErrorKind::Connection => {
                Problem::new(Code::DatabaseUnavailable, "the database went away")
            }
            SqlErrorKind::Retryable | SqlErrorKind::Aborted => {
                Problem::new(Code::Busy, error.to_string())
            }
            _ => Problem::new(Code::InvalidBody, error.to_string()),
        },
        error => of_sandbox(error),
    }
}
