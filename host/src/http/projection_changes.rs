//! `POST /v1/projections/{name}/pause|resume|reset|rebuild`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::extract::{Json, Name, Operator, check_given};
use super::params::Params;
use super::problem::{Code, Problem};
use super::projections::{ProjectionBody, one};
use super::responses::{ChangeProblems, json};
use super::state::Api;
use crate::plugin::{self, SettingsError, Start};
use crate::runner::{self, RebuildOptions, RebuildProgress, ResetError};
use crate::store;

/// What to tell others of a pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Pause)]
pub(super) struct PauseBody {
    /// Who pauses it.
    #[schema(max_length = 512)]
    by: Option<String>,
    /// Why.
    #[schema(max_length = 512)]
    reason: Option<String>,
}

/// Where to go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reset)]
pub(super) struct ResetBody {
    /// `beginning`, `now`, the first position (from 1), or the time of the first event (RFC 3339).
    #[schema(example = "beginning")]
    to: String,
    /// Empty the tables in the same transaction.
    #[serde(default)]
    truncate: bool,
}

/// How to rebuild.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RebuildOptions)]
pub(super) struct RebuildRequest {
    /// With which event to begin: as in a reset. The whole log where it is not said.
    #[schema(example = "beginning")]
    from: Option<String>,
    /// In how many parts to read the log; as many as the host has cores where it is not said.
    #[schema(minimum = 1, maximum = 256)]
    shards: Option<i32>,
    /// Keep the tables that are replaced, in the schema NAME__old.
    #[serde(default)]
    keep_old: bool,
}

/// Have no host run a projection
///
/// Events wait for it. It holds for all hosts, also those that start later, until it is resumed.
#[utoipa::path(
    post,
    path = "/projections/{name}/pause",
    operation_id = "pauseProjection",
    tag = "operation",
    params(("name" = String, Path, description = "The projection", min_length = 1, max_length = 512)),
    request_body = PauseBody,
    responses((status = 200, description = "It is paused", body = ProjectionBody), ChangeProblems),
)]
pub(super) async fn pause(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    Json(body): Json<PauseBody>,
) -> Result<Response, Problem> {
    let (by, reason) = (body.by.as_deref(), body.reason.as_deref());
    check_given("by", by)?;
    check_given("reason", reason)?;
    let paused = plugin::pause(api.host.store().pool(), &name, by, reason).await;
    paused.map_err(refused)?;
    answer(&api, &name).await
}

/// Have the hosts run a projection again
///
/// One that was paused, or that an error has stopped.
#[utoipa::path(
    post,
    path = "/projections/{name}/resume",
    operation_id = "resumeProjection",
    tag = "operation",
    params(("name" = String, Path, description = "The projection", min_length = 1, max_length = 512)),
    responses((status = 200, description = "It runs again", body = ProjectionBody), ChangeProblems),
)]
pub(super) async fn resume(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    plugin::resume(api.host.store().pool(), &name).await.map_err(refused)?;
    answer(&api, &name).await
}

/// Have a catch-up projection go on from another place
///
/// Of all tenants. Its tables stay as they are, unless `truncate` says otherwise.
#[utoipa::path(
    post,
    path = "/projections/{name}/reset",
    operation_id = "resetProjection",
    tag = "operation",
    params(("name" = String, Path, description = "The projection", min_length = 1, max_length = 512)),
    request_body = ResetBody,
    responses((status = 200, description = "It goes on there", body = ProjectionBody), ChangeProblems),
)]
pub(super) async fn reset(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    Json(body): Json<ResetBody>,
) -> Result<Response, Problem> {
    let to = start("to", &body.to)?;
    let (pool, sandbox) = (api.host.store().pool(), api.host.registry().sandbox());
    let reset = runner::reset(pool, sandbox, &name, to, body.truncate).await;
    reset.map_err(|error| match error {
        ResetError::Unknown(_) => Problem::new(Code::ProjectionNotFound, error.to_string()),
        ResetError::Mode(..) => Problem::new(Code::ProjectionState, error.to_string()),
        ResetError::Database(error) => Problem::of_database(&error),
        ResetError::Sandbox(error) => Problem::internal(&error),
    })?;
    answer(&api, &name).await
}

/// Rebuild a projection
///
/// This host fills new tables from the log, while the old ones are served, and puts them into their place.
/// The answer comes when it has begun; how it gets on is in `rebuild` of the projection, also why it
/// ended. When the host stops it is interrupted, and asked for again it goes on.
#[utoipa::path(
    post,
    path = "/projections/{name}/rebuild",
    operation_id = "rebuildProjection",
    tag = "operation",
    params(("name" = String, Path, description = "The projection", min_length = 1, max_length = 512)),
    request_body = RebuildRequest,
    responses((status = 202, description = "It begins", body = ProjectionBody), ChangeProblems),
)]
pub(super) async fn rebuild(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    Json(body): Json<RebuildRequest>,
) -> Result<Response, Problem> {
    body.shards.map_or(Ok(()), plugin::check_shards).map_err(refused)?;
    let options = RebuildOptions {
        from: body.from.map_or(Ok(Start::Default), |text| start("from", &text))?,
        shards: body.shards,
        keep_old: body.keep_old,
        topics: api.topics().clone(),
        ..RebuildOptions::default()
    };
    let projection = one(&api, &name).await?;
    if projection.is_being_rebuilt() {
        return Err(Problem::new(Code::ProjectionState, "it is being rebuilt already"));
    }
    let (host, stop) = (api.host.clone(), api.stop.clone());
    api.tasks.spawn(async move {
        let progress = watch::Sender::new(RebuildProgress::default());
        match runner::rebuild(host.registry(), &name, &options, &progress, &stop).await {
            Ok(done) => tracing::info!(
                projection = name,
                events = done.events,
                seconds = done.seconds,
                "the projection is rebuilt"
            ),
            Err(error) => tracing::warn!(projection = name, %error,
                "the projection is not rebuilt; what is served has not changed"),
        }
    });
    Ok((StatusCode::ACCEPTED, json(&projection)).into_response())
}

fn start(field: &str, text: &str) -> Result<Start, Problem> {
    text.parse().map_err(|why| Problem::new(Code::InvalidBody, format!("{field}: {why}")))
}

fn refused(error: SettingsError) -> Problem {
    match error {
        SettingsError::Unknown(_) => Problem::new(Code::ProjectionNotFound, error.to_string()),
        SettingsError::Runs(_) | SettingsError::Inline(_) => {
            Problem::new(Code::ProjectionState, error.to_string())
        }
        SettingsError::Value(message) => Problem::new(Code::InvalidBody, message),
        SettingsError::Database(error) => Problem::of_database(&error),
    }
}

/// Tells the hosts, and the caller how the projection stands now.
async fn answer(api: &Api, name: &str) -> Result<Response, Problem> {
    if let Err(error) = store::notify_plugins(api.host.store().pool()).await {
        tracing::debug!(%error, "the hosts will find out by polling");
    }
    Ok(json(&one(api, name).await?))
}
