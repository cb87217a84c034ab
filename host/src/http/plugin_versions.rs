//! `GET /v1/plugins/{name}/versions|deployments`, `POST /v1/plugins/{name}/rollback`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::extract::{Json, Name, Operator, check_given};
use super::params::Params;
use super::plugin_changes::{SOMEBODY, note, refused};
use super::problem::{Code, Problem};
use super::projections::{ProjectionBody, one};
use super::responses::{ChangeProblems, ReadProblems, json};
use super::state::Api;
use crate::plugin::{self, Deployment, KnownVersion, Range};
use crate::runner::{self, RebuildOptions, RebuildProgress, Tables};

/// How many deployments are told.
const HISTORY: i64 = 200;

/// A version of a plugin that was active, or is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginVersion)]
struct VersionBody {
    /// Its SHA-256, in hex.
    version: String,
    /// `active`, `failing` (active, and stopped at an error), `rolled back` (it failed, and a host went back
    /// to the one before), `waiting` (for its projection to come to a position), `retired`.
    state: String,
    /// The size of the component.
    bytes: i64,
    /// How many migrations it has.
    migrations: usize,
    /// What it imports.
    imports: Vec<String>,
    /// When it first became active.
    deployed_at: DateTime<Utc>,
    /// Who did that.
    deployed_by: Option<String>,
    /// From where.
    source: Option<String>,
    /// How it failed, where it did.
    error: Option<String>,
    /// Of a catch-up projection: what it has handled of what the tables hold.
    handled: Vec<RangeBody>,
}

/// Positions that a version has handled.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HandledRange)]
struct RangeBody {
    /// Of this tenant's events.
    tenant: String,
    /// Which part of its streams, from 0.
    shard: i32,
    /// Of how many.
    shards: i32,
    /// The first position.
    first: i64,
    /// The last position until now.
    last: i64,
}

impl From<Range> for RangeBody {
    fn from(Range { tenant, shard, shards, first, last, .. }: Range) -> Self {
        Self { tenant, shard, shards, first, last }
    }
}

impl From<KnownVersion> for VersionBody {
    fn from(known: KnownVersion) -> Self {
        Self {
            version: known.version,
            state: known.state.as_str().to_owned(),
            bytes: known.bytes,
            migrations: known.description.map_or(0, |description| description.migrations.len()),
            imports: known.imports,
            deployed_at: known.deployed_at,
            deployed_by: known.deployed_by,
            source: known.source,
            error: known.error,
            handled: known.handled.into_iter().map(Into::into).collect(),
        }
    }
}

/// The versions of a plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginVersions)]
pub(super) struct VersionsBody {
    versions: Vec<VersionBody>,
}

/// What became of a version once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginDeployment)]
struct DeploymentBody {
    /// Counts all of them.
    id: i64,
    /// The SHA-256 of the version, in hex.
    version: String,
    /// `deploy`, `rollback` (somebody went back to it), `fallback` (a host did, as the one that had taken its
    /// place failed), `remove`, `retire` (the tables that were kept were dropped), `config` (a setting was changed).
    action: String,
    /// It became the active version.
    activated: bool,
    /// The version that was active until then.
    replaced: Option<String>,
    /// Events that went well on trial.
    tried: i64,
    /// How the trial went, beside the version that was active.
    #[schema(value_type = Option<Object>)]
    trial: Option<serde_json::Value>,
    /// It came with tables of its own.
    rebuilt: bool,
    /// Why it did not become active; of a fallback: how the other one failed.
    error: Option<String>,
    /// The greatest position of the log at that time.
    log_position: i64,
    /// When.
    at: DateTime<Utc>,
    /// Who did it.
    by: Option<String>,
    /// From where.
    source: Option<String>,
}

impl From<Deployment> for DeploymentBody {
    fn from(deployment: Deployment) -> Self {
        Self {
            activated: deployment.activated(),
            id: deployment.id,
            version: deployment.version,
            action: deployment.action.as_str().to_owned(),
            replaced: deployment.replaced,
            tried: deployment.tried,
            trial: deployment.trial,
            rebuilt: deployment.rebuilt,
            error: deployment.error,
            log_position: deployment.log_position,
            at: deployment.at,
            by: deployment.by,
            source: deployment.source,
        }
    }
}

/// What became of the versions of a plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginDeployments)]
pub(super) struct DeploymentsBody {
    deployments: Vec<DeploymentBody>,
}

/// Where to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rollback)]
pub(super) struct RollbackBody {
    /// The first digits of a version; the one that the active version has replaced where it is not said.
    #[schema(max_length = 64)]
    version: Option<String>,
    /// Who goes back.
    #[schema(max_length = 512)]
    by: Option<String>,
    /// Have it make its tables anew from the log, where they are not kept.
    #[serde(default)]
    rebuild: bool,
}

/// The versions of a plugin
///
/// Those that were active, the one that came last first.
#[utoipa::path(
    get,
    path = "/plugins/{name}/versions",
    operation_id = "listPluginVersions",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    responses((status = 200, description = "Its versions", body = VersionsBody), ReadProblems),
)]
pub(super) async fn versions(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    answer(&api, &name).await
}

/// What became of the versions of a plugin
///
/// The newest first, refused ones included; the last 200.
#[utoipa::path(
    get,
    path = "/plugins/{name}/deployments",
    operation_id = "listPluginDeployments",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    responses((status = 200, description = "Its past", body = DeploymentsBody), ReadProblems),
)]
pub(super) async fn deployments(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let deployments = plugin::deployments(api.host.store().pool(), &name, HISTORY).await;
    let deployments = deployments.map_err(|error| Problem::of_database(&error))?;
    if deployments.is_empty() {
        return Err(unknown(&name));
    }
    let deployments = deployments.into_iter().map(Into::into).collect();
    Ok(json(&DeploymentsBody { deployments }))
}

/// Make a version active again that was so before
///
/// It is tried on the last events first, and must know all the migrations of the plugin's tables; or with its own
/// tables, where they are kept or `rebuild` makes them: then the answer comes when that has begun.
#[utoipa::path(
    post,
    path = "/plugins/{name}/rollback",
    operation_id = "rollBackPlugin",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    request_body = RollbackBody,
    responses(
        (status = 200, description = "Its versions now", body = VersionsBody),
        (status = 202, description = "Its tables are being filled", body = ProjectionBody),
        ChangeProblems,
    ),
)]
pub(super) async fn rollback(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    Json(body): Json<RollbackBody>,
) -> Result<Response, Problem> {
    let (by, version) = (body.by.as_deref(), body.version.as_deref());
    check_given("by", by)?;
    check_given("version", version)?;
    let (registry, by) = (api.host.registry(), by.unwrap_or(SOMEBODY));
    let canary = api.host.canary();
    let has_tables = runner::has_tables(registry, &name, version).await;
    if body.rebuild || has_tables.map_err(|error| refused(&error))? {
        return with_tables(&api, name, &body).await;
    }
    let done = runner::roll_back(registry, &name, version, by, canary).await;
    done.map_err(|error| refused(&error))?;
    answer(&api, &name).await
}

/// Beside the answer, as it can take long. It ends with the host.
async fn with_tables(api: &Api, name: String, body: &RollbackBody) -> Result<Response, Problem> {
    let projection = one(api, &name).await?;
    let options = RebuildOptions {
        keep_old: true,
        topics: api.topics().clone(),
        ..RebuildOptions::default()
    };
    let by = body.by.clone().unwrap_or_else(|| SOMEBODY.to_owned());
    let (version, rebuild) = (body.version.clone(), body.rebuild);
    let (host, stop) = (api.host.clone(), api.stop.clone());
    api.tasks.spawn(async move {
        let progress = watch::Sender::new(RebuildProgress::default());
        let tables = Tables { options: &options, progress: &progress, stop: &stop };
        let (registry, canary, version) = (host.registry(), host.canary(), version.as_deref());
        let back =
            runner::roll_back_rebuilt(registry, &name, version, &by, &canary, rebuild, &tables);
        note(&name, back.await);
    });
    Ok((StatusCode::ACCEPTED, json(&projection)).into_response())
}

async fn answer(api: &Api, name: &str) -> Result<Response, Problem> {
    let versions = plugin::versions(api.host.store().pool(), name).await;
    let versions = versions.map_err(|error| Problem::of_database(&error))?;
    if versions.is_empty() {
        return Err(unknown(name));
    }
    Ok(json(&VersionsBody { versions: versions.into_iter().map(Into::into).collect() }))
}

fn unknown(name: &str) -> Problem {
    Problem::new(Code::ProjectionNotFound, format!("there is no plugin `{name}`"))
}
