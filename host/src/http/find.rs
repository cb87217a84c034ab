//! `GET /v1/streams`, `GET /v1/streams/{aggregate}/{id}`, `GET /v1/events/query`: finding what one does not know
//! by position.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::PAGE;
use super::event_body::{EventBody, StreamBody};
use super::extract::{StreamName, Tenant, check_given};
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{ReadProblems, StreamProblems, json};
use super::state::Api;
use crate::event::MAX_POSITION;
use crate::store::{self, Dismissed, StoreError, StreamInfo};

/// Kinds of aggregates that are listed, at most.
const KINDS: i64 = 1000;
/// How long the database may look for a page of streams.
const SEARCH: Duration = Duration::from_secs(5);

/// Streams, or the kinds of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Streams)]
pub(super) struct StreamsBody {
    /// The kinds of aggregates, where none was asked for.
    aggregates: Vec<String>,
    /// The streams of one, in the order of their ids.
    streams: Vec<FoundBody>,
    /// What to give as `after` for the next page; null after the last one.
    after: Option<String>,
}

/// A stream in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FoundStream)]
struct FoundBody {
    /// The kind of aggregate.
    aggregate: String,
    /// Which aggregate of that kind.
    id: String,
    /// The version of its last event.
    version: i32,
    /// When it was appended to last.
    updated_at: DateTime<Utc>,
}

impl From<StreamInfo> for FoundBody {
    fn from(StreamInfo { aggregate, id, version, updated_at }: StreamInfo) -> Self {
        Self { aggregate, id, version, updated_at }
    }
}

/// Find streams
///
/// The kinds of aggregates, or the streams of one whose ids begin as is said.
#[utoipa::path(
    get,
    path = "/streams",
    operation_id = "findStreams",
    tag = "streams",
    params(
        ("aggregate" = Option<String>, Query, description = "Streams of this kind of aggregate"),
        ("begins" = Option<String>, Query, description = "Only ids that begin so"),
        ("after" = Option<String>, Query, description = "Only ids after this one"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000,
            description = "Streams, at most [default: 100]"),
    ),
    responses((status = 200, description = "What there is", body = StreamsBody), ReadProblems),
)]
pub(super) async fn streams(
    State(api): State<Api>,
    tenant: Tenant,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["aggregate", "begins", "after", "limit"])?;
    let limit = params.number("limit", 1, api.limits.page)?.unwrap_or(PAGE.min(api.limits.page));
    let (pool, name) = (tenant.0.store.pool(), &tenant.0.tenant);
    let aggregate = params.one("aggregate")?;
    check_given("aggregate", aggregate)?;
    let body = match aggregate {
        None => {
            let kinds = store::stream_kinds(pool, name, KINDS).await;
            let aggregates = kinds.map_err(|error| Problem::of_database(&error))?;
            StreamsBody { aggregates, streams: Vec::new(), after: None }
        }
        Some(aggregate) => {
            let begins = params.one("begins")?.unwrap_or_default();
            let after = params.one("after")?.unwrap_or_default();
            let found = store::streams_of(pool, name, aggregate, begins, after, limit);
            let found = tokio::time::timeout(SEARCH, found).await.map_err(|_| too_long())?;
            let found = found.map_err(|error| Problem::of_database(&error))?;
            let full = found.len() as i64 == limit;
            let after = found.last().filter(|_| full).map(|last| last.id.clone());
            let streams = found.into_iter().map(Into::into).collect();
            StreamsBody { aggregates: Vec::new(), streams, after }
        }
    };
    Ok(json(&body))
}

/// How a stream stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StreamState)]
pub(super) struct StreamStateBody {
    stream: StreamBody,
    /// The version of its last event.
    version: i32,
    /// The snapshot of its aggregate, where there is one.
    snapshot: Option<SnapshotBody>,
}

/// The state of an aggregate at a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Snapshot)]
struct SnapshotBody {
    /// The version of the last event that is in it.
    version: i32,
    /// The version of the state's own schema.
    schema_version: i32,
    /// When it was written.
    created_at: DateTime<Utc>,
    /// It is to be made anew, and is not used.
    rebuild_requested: bool,
    /// The state, as the program wrote it that owns the aggregate.
    #[schema(value_type = Object)]
    state: Box<RawValue>,
}

/// How a stream stands
///
/// Its version, and the snapshot of its aggregate.
#[utoipa::path(
    get,
    path = "/streams/{aggregate}/{id}",
    operation_id = "getStream",
    tag = "streams",
    params(
        ("aggregate" = String, Path, description = "The kind of aggregate, such as `Account`",
            min_length = 1, max_length = 512),
        ("id" = String, Path, description = "Which aggregate of that kind",
            min_length = 1, max_length = 512),
    ),
    responses((status = 200, description = "The stream", body = StreamStateBody), ReadProblems),
)]
pub(super) async fn stream(
    tenant: Tenant,
    name: StreamName,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let stream = name.of(&tenant);
    let head = tenant.0.store.stream_head(&stream, true).await;
    let head = head.map_err(|error| Problem::of_store(&error, &stream.tenant))?;
    let head = head.ok_or_else(|| {
        let detail = format!("no event was ever appended to {stream}");
        Problem::new(Code::StreamNotFound, detail)
    })?;
    let snapshot = head.snapshot.map(|snapshot| {
        let state = RawValue::from_string(snapshot.state);
        state.map(|state| SnapshotBody {
            version: snapshot.version,
            schema_version: snapshot.schema_version,
            created_at: snapshot.created_at,
            rebuild_requested: snapshot.rebuild_requested,
            state,
        })
    });
    let snapshot = snapshot.transpose().map_err(|error| Problem::internal(&error))?;
    Ok(json(&StreamStateBody { stream: stream.into(), version: head.version, snapshot }))
}

/// Events that were found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FoundEvents)]
pub(super) struct FoundEventsBody {
    /// In the order of positions, or the newest first.
    events: Vec<EventBody>,
    /// There may be more.
    more: bool,
}

/// Find events
///
/// By what belongs together (`correlation_id`), what something has caused (`causation_id`), or by id; as
/// `eventfabric events` with these conditions, at least one of them. Dismissed events are among them.
#[utoipa::path(
    get,
    path = "/events/query",
    operation_id = "findEvents",
    tag = "log",
    params(
        ("correlation_id" = Option<String>, Query, description = "What belongs together under this id"),
        ("causation_id" = Option<String>, Query, description = "What this has caused"),
        ("event_id" = Option<Uuid>, Query, description = "The event with this id"),
        ("after" = Option<i64>, Query, minimum = 0, description = "Only events after this position"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000,
            description = "Events, at most [default: 100]"),
    ),
    responses((status = 200, description = "What was found", body = FoundEventsBody), StreamProblems),
)]
pub(super) async fn events(
    State(api): State<Api>,
    tenant: Tenant,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["correlation_id", "causation_id", "event_id", "after", "limit"])?;
    let limit = params.number("limit", 1, api.limits.page)?.unwrap_or(PAGE.min(api.limits.page));
    let correlation = params.one("correlation_id")?;
    let causation = params.one("causation_id")?;
    let id = params.parsed::<Uuid>("event_id")?;
    if correlation.is_none() && causation.is_none() && id.is_none() {
        return Err(Problem::invalid("give correlation_id, causation_id or event_id"));
    }
    let home = &tenant.0;
    let mut query = home.store.query().tenant(&home.tenant).dismissed(Dismissed::Included);
    if let Some(correlation) = correlation {
        query = query.correlation_id(correlation);
    }
    if let Some(causation) = causation {
        query = query.causation_id(causation);
    }
    if let Some(id) = id {
        query = query.event_id(id);
    }
    if let Some(after) = params.number("after", 0, MAX_POSITION - 1)? {
        query = query.positions(after + 1..);
    }
    let found = query.timeout(SEARCH).limit(limit as usize).load().await;
    let found = found.map_err(|error| match error {
        StoreError::QueryTimedOut(_) => too_long(),
        error => Problem::of_store(&error, &home.tenant),
    })?;
    let more = found.len() as i64 == limit;
    Ok(json(&FoundEventsBody { events: found.into_iter().map(Into::into).collect(), more }))
}

fn too_long() -> Problem {
    Problem::new(Code::Busy, format!("the database has looked for {SEARCH:?}; ask for less"))
}
