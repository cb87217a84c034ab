//! `GET /v1/plugins`

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Operator;
use super::params::Params;
use super::problem::Problem;
use super::responses::{ReadProblems, json};
use super::state::Api;
use crate::plugin::{Active, Registered};

/// A plugin and its active version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plugin)]
pub(super) struct PluginBody {
    /// Its name, which is that of its projection.
    name: String,
    /// `inline`, `catch-up` or `async`.
    mode: String,
    /// The SHA-256 of the active version.
    version: String,
    /// When that became the active one.
    activated_at: DateTime<Utc>,
    /// This host has loaded it.
    loaded: bool,
    /// What it says of itself, where it is loaded.
    description: Option<String>,
    /// Which types of events it takes, where it is loaded; none: all.
    event_types: Option<Vec<String>>,
}

impl PluginBody {
    pub(super) fn new(registered: &Registered, active: Option<&Active>) -> Self {
        let description = active.map(|active| &active.plugin.description);
        Self {
            name: registered.name.clone(),
            mode: registered.mode.to_string(),
            version: registered.version.clone(),
            activated_at: registered.activated_at,
            loaded: active.is_some(),
            description: description.map(|description| description.text.clone()),
            event_types: description.map(|description| description.event_types.clone()),
        }
    }
}

/// All plugins.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plugins)]
pub(super) struct PluginsBody {
    plugins: Vec<PluginBody>,
}

/// Which plugins are active
#[utoipa::path(
    get,
    path = "/plugins",
    operation_id = "listPlugins",
    tag = "operation",
    responses((status = 200, description = "The active version of each", body = PluginsBody), ReadProblems),
)]
pub(super) async fn list(
    State(api): State<Api>,
    _: Operator,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let snapshot = api.host.registry().snapshot();
    let plugins = snapshot.registered.values().map(|registered| {
        let active = snapshot.current(&registered.name).map(AsRef::as_ref);
        PluginBody::new(registered, active)
    });
    Ok(json(&PluginsBody { plugins: plugins.collect() }))
}
