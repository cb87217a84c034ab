//! `POST /v1/plugins`, `GET|PUT /v1/plugins/{name}/config`, `POST /v1/plugins/{name}/pause|resume|remove|rebuild`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::extract::{Component, Json, Name, Operator, check_given};
use super::params::Params;
use super::problem::{Code, Problem};
use super::projection_changes::{self, PauseBody, RebuildRequest};
use super::projections::ProjectionBody;
use super::responses::{ChangeProblems, ReadProblems, json};
use super::state::Api;
use crate::plugin::{self, Action, ConfigError, ConfigValue, Origin};
use crate::runner::{
    self, Canary, DeployError, Deployed, RebuildError, RebuildOptions, RebuildProgress, Tables,
};
use crate::store::{self, StoreError};

/// Who deploys over HTTP and does not say so.
pub(super) const SOMEBODY: &str = "somebody over HTTP";

/// What a deploy has done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginDeploy)]
pub(super) struct DeployedBody {
    /// The plugin.
    plugin: String,
    /// The SHA-256 of the version, in hex.
    version: String,
    /// The version before, where there was one.
    before: Option<String>,
    /// It was the active version already, and nothing was done.
    unchanged: bool,
    /// It becomes active at this position, and is not yet.
    at: Option<i64>,
    /// Events that went well on trial.
    tried: usize,
    /// How the trial went, beside the version that was active.
    #[schema(value_type = Option<Object>)]
    trial: Option<runner::Trial>,
    /// How long the whole took.
    took_ms: u64,
}

impl From<Deployed> for DeployedBody {
    fn from(deployed: Deployed) -> Self {
        Self {
            plugin: deployed.name,
            version: deployed.version,
            before: deployed.before,
            unchanged: deployed.unchanged,
            at: deployed.at,
            tried: deployed.tried,
            trial: deployed.trial,
            took_ms: deployed.took.as_millis() as u64,
        }
    }
}

/// A setting of a plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginSetting)]
struct SettingBody {
    /// What the plugin is answered.
    value: String,
    /// Since when.
    set_at: DateTime<Utc>,
    /// Who said so.
    set_by: Option<String>,
}

/// The settings of a plugin that the database has; they win over those of a host's settings file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginConfig)]
pub(super) struct ConfigBody {
    settings: BTreeMap<String, SettingBody>,
}

/// All settings of a plugin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PluginConfigChange)]
pub(super) struct ConfigChange {
    /// Those that are not named are taken away.
    settings: BTreeMap<String, String>,
    /// Who changes them.
    #[schema(max_length = 512)]
    by: Option<String>,
}

/// What else to remove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RemovePlugin)]
pub(super) struct RemoveBody {
    /// Drop its tables, too, and forget how far it had come and what waits for it.
    #[serde(default)]
    drop_tables: bool,
    /// Who removes it.
    #[schema(max_length = 512)]
    by: Option<String>,
}

/// Deploy a plugin
///
/// The body is the component. It is checked, tried on the last events, and becomes the active version of its
/// projection for all hosts. With `rebuild` it makes tables of its own from the log, while the active version
/// goes on: the answer comes when that has begun, and how it gets on is in `rebuild` of the projection. A deploy
/// goes on when the client goes away; `deployments` of the plugin tells what became of it.
#[utoipa::path(
    post,
    path = "/plugins",
    operation_id = "deployPlugin",
    tag = "operation",
    params(
        ("by" = Option<String>, Query, max_length = 512, description = "Who deploys it"),
        ("canary" = Option<i64>, Query, minimum = 0, maximum = 100_000,
            description = "Try it on the last so many events of its types [default: the host's]"),
        ("at" = Option<i64>, Query, minimum = 1,
            description = "Of a catch-up projection: the first position that is this version's"),
        ("rebuild" = Option<bool>, Query, description = "With tables of its own"),
        ("keep_old" = Option<bool>, Query,
            description = "With `rebuild`: keep the tables that are replaced [default: true]"),
    ),
    request_body(content = String, content_type = "application/wasm", description = "The component"),
    responses(
        (status = 200, description = "It is active", body = DeployedBody),
        (status = 202, description = "Its tables are being filled", body = ProjectionBody),
        ChangeProblems,
    ),
)]
pub(super) async fn deploy(
    State(api): State<Api>,
    _: Operator,
    params: Params,
    Component(bytes): Component,
) -> Result<Response, Problem> {
    params.only(&["by", "canary", "at", "rebuild", "keep_old"])?;
    let by = params.one("by")?.unwrap_or(SOMEBODY).to_owned();
    check_given("by", Some(&by))?;
    let at = params.number("at", 1, i64::MAX)?;
    let rebuild = params.parsed::<bool>("rebuild")?.unwrap_or(false);
    let keep_old = params.parsed::<bool>("keep_old")?.unwrap_or(true);
    let canary = api.host.canary();
    let events = params.number("canary", 0, 100_000)?.unwrap_or(canary.events);
    let canary = Canary { events, ..canary };
    if rebuild {
        if at.is_some() {
            return Err(Problem::invalid("give `at` or `rebuild`, not both"));
        }
        return with_tables(api, bytes, by, canary, keep_old).await;
    }
    let host = api.host.clone();
    // A deploy is not left half done by a client that goes away.
    let work = api.tasks.spawn(async move {
        let origin = Origin { action: Action::Deploy, by: &by, source: "HTTP", reason: None };
        match at {
            Some(at) => runner::deploy_at(host.registry(), bytes, &origin, &canary, at).await,
            None => runner::deploy_from(host.registry(), bytes, &origin, &canary).await,
        }
    });
    let deployed = work.await.map_err(|error| Problem::internal(&error))?;
    Ok(json(&DeployedBody::from(deployed.map_err(|error| refused(&error))?)))
}

async fn with_tables(
    api: Api,
    bytes: Arc<[u8]>,
    by: String,
    canary: Canary,
    keep_old: bool,
) -> Result<Response, Problem> {
    let loaded = api.host.registry().runtime().load(bytes.clone()).await;
    let name = loaded.map_err(|error| refused(&error.into()))?.description.name;
    let projection = super::projections::one(&api, &name).await?;
    let options =
        RebuildOptions { keep_old, topics: api.topics().clone(), ..RebuildOptions::default() };
    let (host, stop) = (api.host.clone(), api.stop.clone());
    api.tasks.spawn(async move {
        let progress = watch::Sender::new(RebuildProgress::default());
        let tables = Tables { options: &options, progress: &progress, stop: &stop };
        let origin = Origin { action: Action::Deploy, by: &by, source: "HTTP", reason: None };
        let done = runner::deploy_rebuilt(host.registry(), bytes, &origin, &canary, &tables).await;
        note(&name, done);
    });
    Ok((StatusCode::ACCEPTED, json(&projection)).into_response())
}

/// Tells the log how a version with tables of its own came out.
pub(super) fn note(projection: &str, done: Result<Deployed, DeployError>) {
    match done {
        Ok(done) => tracing::info!(
            projection,
            version = done.version.get(..12),
            seconds = done.took.as_secs_f64(),
            "the version is active, with tables of its own"
        ),
        Err(error) => tracing::warn!(projection, %error,
            "the version is not active; what is served has not changed"),
    }
}

/// What a deploy was refused for, as a problem.
pub(super) fn refused(error: &DeployError) -> Problem {
    let problem = match error {
        DeployError::Load(error) => Problem::new(Code::InvalidBody, error.to_string()),
        DeployError::Unknown(_) => Problem::new(Code::ProjectionNotFound, error.to_string()),
        DeployError::Store(StoreError::Database(error))
        | DeployError::Rebuild(RebuildError::Store(StoreError::Database(error))) => {
            Problem::of_database(error)
        }
        error => Problem::new(Code::ProjectionState, error.to_string()),
    };
    problem.caused_by(error)
}

/// The settings of a plugin
///
/// Those that the database has, for all hosts. A host's own settings file can have more.
#[utoipa::path(
    get,
    path = "/plugins/{name}/config",
    operation_id = "getPluginConfig",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    responses((status = 200, description = "Its settings", body = ConfigBody), ReadProblems),
)]
pub(super) async fn config(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    settings(&api, &name).await
}

async fn settings(api: &Api, name: &str) -> Result<Response, Problem> {
    let stored = plugin::config(api.host.store().pool(), name).await;
    let stored = stored.map_err(|error| Problem::of_database(&error))?;
    let settings = stored.into_iter().map(|ConfigValue { key, value, set_at, set_by }| {
        (key, SettingBody { value, set_at, set_by })
    });
    Ok(json(&ConfigBody { settings: settings.collect() }))
}

/// Give a plugin these settings
///
/// All of those that the database has, for all hosts: what is not named is taken away. Hosts follow within a
/// second, and no batch sees both.
#[utoipa::path(
    put,
    path = "/plugins/{name}/config",
    operation_id = "setPluginConfig",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    request_body = ConfigChange,
    responses((status = 200, description = "Its settings now", body = ConfigBody), ChangeProblems),
)]
pub(super) async fn set_config(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    Json(body): Json<ConfigChange>,
) -> Result<Response, Problem> {
    check_given("by", body.by.as_deref())?;
    let changes = body.settings.into_iter().map(|(key, value)| (key, Some(value))).collect();
    let (pool, by) = (api.host.store().pool(), body.by.as_deref().unwrap_or(SOMEBODY));
    plugin::set_config(pool, &name, &changes, true, by).await.map_err(|error| match error {
        ConfigError::Value(why) => Problem::new(Code::InvalidBody, why),
        ConfigError::Database(error) => Problem::of_database(&error),
    })?;
    tell(&api).await;
    settings(&api, &name).await
}

/// Have no host run a plugin for a while
///
/// As `pause` of its projection.
#[utoipa::path(
    post,
    path = "/plugins/{name}/pause",
    operation_id = "pausePlugin",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    request_body = PauseBody,
    responses((status = 200, description = "It is paused", body = ProjectionBody), ChangeProblems),
)]
pub(super) async fn pause(
    api: State<Api>,
    operator: Operator,
    name: Name,
    body: Json<PauseBody>,
) -> Result<Response, Problem> {
    projection_changes::pause(api, operator, name, body).await
}

/// Have the hosts run a plugin again
///
/// As `resume` of its projection.
#[utoipa::path(
    post,
    path = "/plugins/{name}/resume",
    operation_id = "resumePlugin",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    responses((status = 200, description = "It runs again", body = ProjectionBody), ChangeProblems),
)]
pub(super) async fn resume(
    api: State<Api>,
    operator: Operator,
    name: Name,
    params: Params,
) -> Result<Response, Problem> {
    projection_changes::resume(api, operator, name, params).await
}

/// Make a plugin's tables anew from the log
///
/// As `rebuild` of its projection: by the active version.
#[utoipa::path(
    post,
    path = "/plugins/{name}/rebuild",
    operation_id = "rebuildPlugin",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    request_body = RebuildRequest,
    responses((status = 202, description = "It begins", body = ProjectionBody), ChangeProblems),
)]
pub(super) async fn rebuild(
    api: State<Api>,
    operator: Operator,
    name: Name,
    body: Json<RebuildRequest>,
) -> Result<Response, Problem> {
    projection_changes::rebuild(api, operator, name, body).await
}

/// Have no host run a plugin any more
///
/// Its tables and its place in the log stay, unless `drop_tables` says otherwise; its versions do.
#[utoipa::path(
    post,
    path = "/plugins/{name}/remove",
    operation_id = "removePlugin",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    request_body = RemoveBody,
    responses((status = 204, description = "It is removed"), ChangeProblems),
)]
pub(super) async fn remove(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    Json(body): Json<RemoveBody>,
) -> Result<Response, Problem> {
    check_given("by", body.by.as_deref())?;
    let (pool, by) = (api.host.store().pool(), body.by.as_deref().unwrap_or(SOMEBODY));
    let removed = plugin::remove(pool, &name, by, body.drop_tables).await;
    let removed = removed.map_err(|error| Problem::of_database(&error))?;
    tell(&api).await;
    let mut dropped = false;
    if body.drop_tables {
        dropped = api.host.registry().sandbox().drop_plugin(&name).await.map_err(|error| {
            Problem::new(
                Code::ProjectionState,
                format!("it is removed, and its tables are still there: {error}"),
            )
        })?;
    }
    if !removed && !dropped {
        return Err(refused(&DeployError::Unknown(name)));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn tell(api: &Api) {
    if let Err(error) = store::notify_plugins(api.host.store().pool()).await {
        tracing::debug!(%error, "the hosts will find out by polling");
    }
}
