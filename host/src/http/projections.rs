//! `GET /v1/projections`

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::costs::CostBody;
use super::extract::{Name, Operator};
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{ReadProblems, json};
use super::state::Api;
use crate::plugin::Paused;
use crate::runner::{ProjectionStatus, RebuildStatus, status, statuses};

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
    /// `running`, `paused` or `failed`.
    state: String,
    /// The error that stopped it.
    last_error: Option<String>,
    /// That no host runs it; null while they do.
    paused: Option<PausedBody>,
    /// Catch-up: everything up to here is handled.
    position: Option<i64>,
    /// The greatest position of the log that is visible. What was handled between two looks is what it
    /// has grown by, without what `behind` has.
    log_end: i64,
    /// Catch-up: events after its checkpoints. Async: rows of the outbox and its own retries.
    behind: i64,
    /// How old the oldest of them is: by the time of the event, or for an async one since it was queued.
    lag_seconds: f64,
    /// Catch-up: in how many parts its events are handled at the same time.
    shards: i32,
    /// Catch-up: the hosts that have moved its checkpoints within the last minute.
    owners: Vec<String>,
    /// A rebuild that has begun; null where there is none.
    rebuild: Option<RebuildBody>,
    /// Async: events that wait for another attempt.
    retries: i64,
    /// Async: events that were given up.
    dead_letters: i64,
    /// What its active version has cost the hosts that run it, or have run it within the last hour; null where
    /// it has handled nothing.
    cost: Option<CostBody>,
}

/// That no host runs a projection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Paused)]
pub(super) struct PausedBody {
    /// Since when.
    at: DateTime<Utc>,
    /// By whom.
    by: Option<String>,
    /// Why.
    reason: Option<String>,
}

/// How a rebuild stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rebuild)]
pub(super) struct RebuildBody {
    /// Somebody is at it; otherwise it waits to be continued.
    running: bool,
    /// The SHA-256 of the version that fills the new tables.
    version: String,
    /// It began after this position.
    starts_after: i64,
    /// How far the slowest of its parts has come.
    position: i64,
    /// Where it has to come to, as far as is known.
    target: i64,
    /// In how many parts.
    shards: i32,
    /// Events that were handed to the plugin.
    events: i64,
    /// When it began.
    started_at: DateTime<Utc>,
    /// Why it ended the last time.
    last_error: Option<String>,
}

impl From<Paused> for PausedBody {
    fn from(paused: Paused) -> Self {
        Self { at: paused.at, by: paused.by, reason: paused.reason }
    }
}

impl From<RebuildStatus> for RebuildBody {
    fn from(rebuild: RebuildStatus) -> Self {
        Self {
            running: rebuild.running,
            version: rebuild.version,
            starts_after: rebuild.starts_after,
            position: rebuild.position,
            target: rebuild.target,
            shards: rebuild.shards,
            events: rebuild.events,
            started_at: rebuild.started_at,
            last_error: rebuild.last_error,
        }
    }
}

impl From<ProjectionStatus> for ProjectionBody {
    fn from(status: ProjectionStatus) -> Self {
        Self {
            name: status.name,
            mode: status.mode,
            version: status.version,
            state: status.state,
            last_error: status.last_error,
            paused: status.paused.map(Into::into),
            position: status.position,
            log_end: status.log_end,
            behind: status.behind,
            lag_seconds: status.lag_seconds,
            shards: status.shards,
            owners: status.owners,
            rebuild: status.rebuild.map(Into::into),
            retries: status.retries,
            dead_letters: status.dead_letters,
            cost: status.cost.map(Into::into),
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
    Ok(json(&one(&api, &name).await?))
}

/// How one projection stands.
pub(super) async fn one(api: &Api, name: &str) -> Result<ProjectionBody, Problem> {
    let found = status(api.host.store().pool(), name).await;
    let found = found.map_err(|error| Problem::of_database(&error))?;
    found.map(Into::into).ok_or_else(|| {
        let detail = "there is no such projection; see /v1/projections";
        Problem::new(Code::ProjectionNotFound, detail)
    })
}

impl ProjectionBody {
    /// The SHA-256 of its active version.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Whether somebody rebuilds it now.
    pub(super) fn is_being_rebuilt(&self) -> bool {
        self.rebuild.as_ref().is_some_and(|rebuild| rebuild.running)
    }
}

async fn all(api: &Api) -> Result<Vec<ProjectionBody>, Problem> {
    let statuses = statuses(api.host.store().pool()).await;
    let statuses = statuses.map_err(|error| Problem::of_database(&error))?;
    Ok(statuses.into_iter().map(Into::into).collect())
}
