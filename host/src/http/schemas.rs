//! `GET /v1/schemas`, `GET|PUT|DELETE /v1/schemas/{type}/{version}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::{Json, Operator, SchemaName, check_given};
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{BodyProblems, ReadProblems, json};
use super::state::Api;
use crate::store::{self, EventSchema, SchemaError};

/// The schema of a version of an event type.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventSchema)]
pub(super) struct SchemaBody {
    /// The event type.
    event_type: String,
    /// The version of its payload.
    schema_version: i32,
    /// The JSON Schema.
    schema: Value,
    /// An append of an event that does not fit is refused.
    enforced: bool,
    /// When it was registered.
    registered_at: DateTime<Utc>,
    /// By whom.
    registered_by: Option<String>,
}

impl From<EventSchema> for SchemaBody {
    fn from(schema: EventSchema) -> Self {
        let EventSchema {
            event_type,
            schema_version,
            schema,
            enforced,
            registered_at,
            registered_by,
        } = schema;
        Self { event_type, schema_version, schema, enforced, registered_at, registered_by }
    }
}

/// The schemas that are registered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventSchemas)]
pub(super) struct SchemasBody {
    /// By type and version.
    schemas: Vec<SchemaBody>,
}

/// A schema to register.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RegisterEventSchema)]
pub(super) struct Registration {
    /// A JSON Schema of a draft from 4 to 2020-12, of 1 MiB at most. It describes the payload without the
    /// fields `type` and `version`, unless its own `properties` name these.
    schema: Value,
    /// Check appends against it from now on.
    #[serde(default)]
    enforced: bool,
    /// Who registers it.
    #[schema(max_length = 512)]
    by: Option<String>,
}

/// The schemas of events
///
/// Those that are registered, by type and version.
#[utoipa::path(
    get,
    path = "/schemas",
    operation_id = "listEventSchemas",
    tag = "operation",
    params(("type" = Option<String>, Query, max_length = 512, description = "Only of this event type")),
    responses((status = 200, description = "The schemas", body = SchemasBody), ReadProblems),
)]
pub(super) async fn list(
    State(api): State<Api>,
    _: Operator,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["type"])?;
    let of = params.one("type")?;
    check_given("type", of)?;
    let schemas = read(&api, of, None).await?;
    Ok(json(&SchemasBody { schemas: schemas.into_iter().map(Into::into).collect() }))
}

/// The schema of a version of an event type
///
/// As it was registered.
#[utoipa::path(
    get,
    path = "/schemas/{type}/{version}",
    operation_id = "getEventSchema",
    tag = "operation",
    params(
        ("type" = String, Path, description = "The event type", min_length = 1, max_length = 512),
        ("version" = i32, Path, description = "The version of its payload", minimum = 1),
    ),
    responses((status = 200, description = "The schema", body = SchemaBody), ReadProblems),
)]
pub(super) async fn get(
    State(api): State<Api>,
    _: Operator,
    name: SchemaName,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    one(&api, &name).await
}

/// Register the schema of a version of an event type
///
/// Once for ever: the same schema once more changes no more than whether it is enforced, and another one is
/// refused. From the answer on, every append of every host is checked against one that is enforced. What is in
/// the log is not looked at.
#[utoipa::path(
    put,
    path = "/schemas/{type}/{version}",
    operation_id = "registerEventSchema",
    tag = "operation",
    params(
        ("type" = String, Path, description = "The event type", min_length = 1, max_length = 512),
        ("version" = i32, Path, description = "The version of its payload", minimum = 1),
    ),
    request_body = Registration,
    responses(
        (status = 200, description = "It is registered", body = SchemaBody),
        (status = 409, description = "The version has another schema"),
        BodyProblems,
    ),
)]
pub(super) async fn register(
    State(api): State<Api>,
    _: Operator,
    name: SchemaName,
    Json(body): Json<Registration>,
) -> Result<Response, Problem> {
    check_given("by", body.by.as_deref())?;
    let (pool, by) = (api.host.store().pool(), body.by.as_deref());
    let (of, version) = (&name.event_type, name.schema_version);
    let done = store::register_schema(pool, of, version, &body.schema, body.enforced, by).await;
    done.map_err(|error| match error {
        SchemaError::Database(error) => Problem::of_database(&error),
        error @ SchemaError::Taken { .. } => Problem::new(Code::SchemaTaken, error.to_string()),
        error => Problem::new(Code::InvalidBody, error.to_string()),
    })?;
    one(&api, &name).await
}

/// Forget the schema of a version of an event type
///
/// Appends are no longer checked against it.
#[utoipa::path(
    delete,
    path = "/schemas/{type}/{version}",
    operation_id = "removeEventSchema",
    tag = "operation",
    params(
        ("type" = String, Path, description = "The event type", min_length = 1, max_length = 512),
        ("version" = i32, Path, description = "The version of its payload", minimum = 1),
    ),
    responses((status = 204, description = "It is gone"), ReadProblems),
)]
pub(super) async fn remove(
    State(api): State<Api>,
    _: Operator,
    name: SchemaName,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let pool = api.host.store().pool();
    let removed = store::remove_schema(pool, &name.event_type, name.schema_version).await;
    match removed.map_err(|error| Problem::of_database(&error))? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(missing(&name)),
    }
}

async fn one(api: &Api, name: &SchemaName) -> Result<Response, Problem> {
    let mut found = read(api, Some(&name.event_type), Some(name.schema_version)).await?;
    match found.pop() {
        Some(schema) => Ok(json(&SchemaBody::from(schema))),
        None => Err(missing(name)),
    }
}

async fn read(
    api: &Api,
    of: Option<&str>,
    version: Option<i32>,
) -> Result<Vec<EventSchema>, Problem> {
    let schemas = store::schemas(api.host.store().pool(), of, version).await;
    schemas.map_err(|error| Problem::of_database(&error))
}

fn missing(name: &SchemaName) -> Problem {
    let SchemaName { event_type, schema_version } = name;
    let what = format!("version {schema_version} of {event_type} has no schema");
    Problem::new(Code::SchemaNotFound, what)
}
