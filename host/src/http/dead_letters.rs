//! `GET /v1/dead-letters`, `POST /v1/dead-letters/requeue`

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PAGE;
use super::extract::{Json, Tenant};
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{BodyProblems, ReadProblems, json};
use super::state::Api;
use crate::store::{self, DeadLetter, LetterFilter};

/// An event that a projection could not handle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct LetterBody {
    /// Its number, to requeue it.
    id: i64,
    /// The projection that failed; null in a letter of the TypeScript library.
    projection: Option<String>,
    /// The version of the plugin that failed last.
    plugin_version: Option<String>,
    /// The place of the event in the log.
    position: i64,
    /// The tenant of the event.
    tenant: String,
    /// How often it was tried.
    attempts: i32,
    /// Why it failed last.
    error: Option<String>,
    /// When it was given up.
    dead_lettered_at: DateTime<Utc>,
    /// The type of the event.
    event_type: Option<String>,
    /// The kind of its aggregate.
    aggregate: Option<String>,
    /// Its aggregate.
    aggregate_id: Option<String>,
}

impl From<DeadLetter> for LetterBody {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            projection: letter.projection,
            plugin_version: letter.plugin_version,
            position: letter.position,
            tenant: letter.tenant,
            attempts: letter.attempts,
            error: letter.error,
            dead_lettered_at: letter.dead_lettered_at,
            event_type: letter.event_type,
            aggregate: letter.aggregate,
            aggregate_id: letter.aggregate_id,
        }
    }
}

/// Dead letters, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetters)]
pub(super) struct LettersBody {
    dead_letters: Vec<LetterBody>,
    /// What to give as `before` for the next page; null after the last one.
    before: Option<i64>,
}

/// Read dead letters
///
/// Those of one tenant's events, newest first.
#[utoipa::path(
    get,
    path = "/dead-letters",
    operation_id = "listDeadLetters",
    tag = "operation",
    params(
        ("projection" = Option<String>, Query, description = "Only of this projection"),
        ("before" = Option<i64>, Query, minimum = 0, description = "Only those older than this one"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000,
            description = "Letters, at most [default: 100]"),
    ),
    responses((status = 200, description = "A page of dead letters", body = LettersBody), ReadProblems),
)]
pub(super) async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["projection", "before", "limit"])?;
    let limit = params.number("limit", 1, api.limits.page)?.unwrap_or(PAGE.min(api.limits.page));
    let filter = LetterFilter {
        ids: None,
        projection: params.one("projection")?,
        tenant: Some(&tenant.0.tenant),
        before: params.number("before", 0, i64::MAX)?,
    };
    let letters = store::dead_letters(tenant.0.store.pool(), &filter, limit).await;
    let letters = letters.map_err(|error| Problem::of_database(&error))?;
    let full = letters.len() as i64 == limit;
    let before = letters.last().map(|letter| letter.id).filter(|_| full);
    let dead_letters = letters.into_iter().map(Into::into).collect();
    Ok(json(&LettersBody { dead_letters, before }))
}

/// Which letters to requeue: one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", try_from = "RequeueFields")]
#[schema(as = Requeue)]
pub(super) enum RequeueBody {
    /// These.
    Ids(Vec<i64>),
    /// All of this projection.
    Projection(String),
    /// All of the tenant: `true`.
    All(bool),
}

/// The same as it is sent, for errors that say what is wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequeueFields {
    ids: Option<Vec<i64>>,
    projection: Option<String>,
    all: Option<bool>,
}

impl TryFrom<RequeueFields> for RequeueBody {
    type Error = &'static str;

    fn try_from(fields: RequeueFields) -> Result<Self, Self::Error> {
        match fields {
            RequeueFields { ids: Some(ids), projection: None, all: None } => Ok(Self::Ids(ids)),
            RequeueFields { ids: None, projection: Some(name), all: None } => {
                Ok(Self::Projection(name))
            }
            RequeueFields { ids: None, projection: None, all: Some(all) } => Ok(Self::All(all)),
            _ => Err("give one of `ids`, `projection` and `all`"),
        }
    }
}

/// How many went back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Requeued)]
pub(super) struct RequeuedBody {
    /// Letters that went back to their projections.
    requeued: i64,
}

/// Requeue dead letters
///
/// Hands events of one tenant once more to the projection that failed, and to no other.
#[utoipa::path(
    post,
    path = "/dead-letters/requeue",
    operation_id = "requeueDeadLetters",
    tag = "operation",
    request_body = RequeueBody,
    responses((status = 200, description = "How many went back", body = RequeuedBody), BodyProblems),
)]
pub(super) async fn requeue(
    State(api): State<Api>,
    tenant: Tenant,
    Json(body): Json<RequeueBody>,
) -> Result<Response, Problem> {
    let mut filter = LetterFilter { tenant: Some(&tenant.0.tenant), ..LetterFilter::default() };
    match &body {
        RequeueBody::Ids(ids) if ids.is_empty() || ids.len() as i64 > api.limits.page => {
            return Err(Problem::new(
                Code::InvalidBody,
                format!("ids: from 1 to {} of them", api.limits.page),
            ));
        }
        RequeueBody::Ids(ids) => filter.ids = Some(ids),
        RequeueBody::Projection(name) => {
            super::extract::check_name("projection", name)?;
            filter.projection = Some(name);
        }
        RequeueBody::All(true) => {}
        RequeueBody::All(false) => {
            return Err(Problem::new(Code::InvalidBody, "all: it is true, or left out"));
        }
    }
    let pool = tenant.0.store.pool();
    let refused = |error| Problem::of_database(&error);
    let requeued = store::requeue(pool, &filter).await.map_err(refused)?;
    if requeued == 0 && filter.ids.is_some() {
        return Err(Problem::new(
            Code::DeadLetterNotFound,
            "none of them is there; see /v1/dead-letters",
        ));
    }
    if let Err(error) = store::notify_events(pool).await {
        tracing::debug!(%error, "retries will be found by polling");
    }
    Ok(json(&RequeuedBody { requeued }))
}
