//! `GET /v1/projections`

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Name, Operator};
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{ReadProblems, json};
use super::state::Api;
use crate::runner::{ProjectionStatus, statuses};

/// How a projection stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Projection)]
pub(super) struct ProjectionBody {
    /// The name of the projection and of its plugin.
    name: String,
    /// `inline`, `catch-up` or `async`.
    mode: String,
    /// The SHA-256 of the active version.
    version: String,
    /// `running` or `failed`.
    state: String,
    /// The error that stopped it.
    last_error: Option<String>,
    /// Catch-up: everything up to here is handled.
    position: Option<i64>,
    /// Catch-up: events after its checkpoints. Async: rows of the outbox and its own retries.
    behind: i64,
    /// Async: events that wait for another attempt.
    retries: i64,
    /// Async: events that were given up.
    dead_letters: i64,
}

impl From<ProjectionStatus> for ProjectionBody {
    fn from(status: ProjectionStatus) -> Self {
        Self {
            name: status.name,
            mode: status.mode,
            version: status.version,
            state: status.state,
            last_error: status.last_error,
            position: status.position,
            behind: status.behind,
            retries: status.retries,
            dead_letters: status.dead_letters,
        }
    }
}

/// All projections.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Projections)]
pub(super) struct ProjectionsBody {
    projections: Vec<ProjectionBody>,
}

/// How the projections stand
///
/// Over all tenants of the database, whichever host runs them.
#[utoipa::path(
    get,
    path = "/projections",
    operation_id = "listProjections",
    tag = "operation",
    responses((status = 200, description = "All projections", body = ProjectionsBody), ReadProblems),
)]
pub(super) async fn list(
    State(api): State<Api>,
    _: Operator,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    Ok(json(&ProjectionsBody { projections: all(&api).await? }))
}

/// How one projection stands
#[utoipa::path(
    get,
    path = "/projections/{name}",
    operation_id = "getProjection",
    tag = "operation",
    params(("name" = String, Path, description = "The projection", min_length = 1, max_length = 512)),
    responses((status = 200, description = "The projection", body = ProjectionBody), ReadProblems),
)]
pub(super) async fn get(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    match all(&api).await?.into_iter().find(|projection| projection.name == name) {
        Some(projection) => Ok(json(&projection)),
        None => Err(Problem::new(
            Code::ProjectionNotFound,
            "there is no such projection; see /v1/projections",
        )),
    }
}

async fn all(api: &Api) -> Result<Vec<ProjectionBody>, Problem> {
    let statuses = statuses(api.host.store().pool()).await;
    let statuses = statuses.map_err(|error| Problem::of_database(&error))?;
    Ok(statuses.into_iter().map(Into::into).collect())
}
