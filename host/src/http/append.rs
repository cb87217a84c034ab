//! `POST /v1/streams/{aggregate}/{id}/events`

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::event_body::StreamBody;
use super::expected::{Expected, expected, one};
use super::extract::{Json, StreamName, Tenant};
use super::metrics;
use super::problem::{Code, Problem};
use super::responses::{AppendProblems, json};
use super::state::Api;
use super::{traced, version_tag};
use crate::event::{MAX_NAME, NewEvent, StreamId};
use crate::store::{Append, Appended, StoreError};
use crate::trace::TraceContext;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the events were in the log already.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Characters of an `Idempotency-Key`.
const KEY_LENGTH: usize = 255;

/// What to append.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Append)]
pub(super) struct AppendBody {
    /// What the stream must be like; `any` where neither this nor a header says so.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    expected_version: Option<Expected>,
    /// All of them are appended, or none.
    #[schema(min_items = 1, max_items = 1000)]
    events: Vec<NewEventBody>,
}

/// An event before it is appended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEvent)]
struct NewEventBody {
    /// Made by the host where none is given. Appending the same id again changes nothing.
    #[serde(default)]
    event_id: Option<Uuid>,
    /// Such as `AccountOpened`.
    #[serde(rename = "type")]
    #[schema(min_length = 1, max_length = 512)]
    event_type: String,
    /// The version of the payload's schema.
    #[serde(default = "first")]
    #[schema(minimum = 1, default = 1)]
    schema_version: i32,
    /// A JSON object. The host adds `type` and `version` where they are missing.
    #[schema(value_type = Object)]
    payload: Box<RawValue>,
    /// When it happened; the time of the append where none is given.
    #[serde(default)]
    occurred_at: Option<DateTime<Utc>>,
    /// What belongs together.
    #[serde(default)]
    #[schema(max_length = 512)]
    correlation_id: Option<String>,
    /// What caused it.
    #[serde(default)]
    #[schema(max_length = 512)]
    causation_id: Option<String>,
}

/// A field that is there says something. `null` would be a check that its writer believes in and that is
/// not made.
fn given<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Expected>, D::Error> {
    Expected::deserialize(field).map(Some)
}

fn first() -> i32 {
    1
}

/// What was appended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Appended)]
pub(super) struct AppendedBody {
    stream: StreamBody,
    /// The version of the last of these events; also in `ETag`.
    version: i32,
    /// The position of the last of these events.
    position: i64,
    /// In the order in which they were given.
    events: Vec<AppendedEventBody>,
}

/// Where an event went.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppendedEvent)]
struct AppendedEventBody {
    /// Its id, made or given.
    event_id: Uuid,
    /// Its place in the log.
    position: i64,
    /// Its place in its stream.
    version: i32,
    /// When it happened, as stored.
    occurred_at: DateTime<Utc>,
}

/// Append events to a stream
///
/// In one transaction with the inline projections. The expectation is in `If-Match` (the stream's
/// ETag, or `*` for any stream that exists), in `If-None-Match: *` (for a stream that has no event),
/// or in `expected_version`. What is refused has written nothing.
///
/// With an `Idempotency-Key` the append can be repeated at any time: it is made once, and the answer
/// is that of the first time.
#[utoipa::path(
    post,
    path = "/streams/{aggregate}/{id}/events",
    operation_id = "append",
    tag = "streams",
    params(
        ("aggregate" = String, Path, description = "The kind of aggregate, such as `Account`",
            min_length = 1, max_length = 512),
        ("id" = String, Path, description = "Which aggregate of that kind",
            min_length = 1, max_length = 512),
        ("If-Match" = Option<String>, Header, pattern = r#"^("[0-9]{1,9}"|\*)$"#,
            description = "The version of the stream in quotes, such as `\"5\"`, or `*`"),
        ("If-None-Match" = Option<String>, Header, pattern = r"^\*$", description = "`*`: the stream has no event yet"),
        ("traceparent" = Option<String>, Header,
            description = "The trace that the events belong to (W3C Trace Context); `tracestate` goes with it. \
                           An invalid one is ignored"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the append repeatable",
            pattern = r"^[!-~]{1,255}$"),
    ),
    request_body = AppendBody,
    responses(
        (status = 201, description = "Appended, now or (`Idempotent-Replayed: true`) before",
            body = AppendedBody,
            headers(
                ("ETag" = String, description = "The version of the last event, in quotes"),
                ("Location" = String, description = "Where to read the events"),
                ("Idempotent-Replayed" = Option<String>, description = "`true`: the events were in the log already"),
            )),
        AppendProblems,
    ),
)]
pub(super) async fn append(
    State(api): State<Api>,
    tenant: Tenant,
    name: StreamName,
    headers: HeaderMap,
    Json(body): Json<AppendBody>,
) -> Result<Response, Problem> {
    let stream = name.of(&tenant);
    let (expected, by_header) = expected(&headers, body.expected_version)?;
    let key = key(&headers)?;
    let append = Append {
        stream: stream.clone(),
        expected,
        topic: api.topic_of(&stream.aggregate),
        events: events(&api, body.events, key.is_some(), traced::context(&headers).as_ref())?,
    };
    let store = &tenant.0.store;
    let appended = match key {
        Some(key) => store.append_once(key, append).await,
        None => store.append_all(vec![append]).await,
    };
    match appended {
        Ok(appended) => {
            let position = appended.events.last().map_or(0, |event| event.position);
            tenant.0.note_appended(position);
            metrics::appended(&appended);
            Ok(answer(stream, &appended))
        }
        Err(error) => {
            metrics::not_appended(&error);
            let problem = Problem::of_store(&error, &stream.tenant);
            // RFC 9110: a condition in a header that does not hold.
            let failed = by_header && matches!(error, StoreError::Conflict { .. });
            Err(if failed { problem.with_status(StatusCode::PRECONDITION_FAILED) } else { problem })
        }
    }
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let key = one(headers, &IDEMPOTENCY_KEY)?;
    if key.is_some_and(|key| key.is_empty() || key.len() > KEY_LENGTH) {
        return Err(Problem::invalid(format!(
            "an Idempotency-Key has 1 to {KEY_LENGTH} characters"
        )));
    }
    Ok(key)
}

/// The events of a body, checked against the limits of the API; the store checks the rest.
fn events(
    api: &Api,
    bodies: Vec<NewEventBody>,
    key: bool,
    trace: Option<&TraceContext>,
) -> Result<Vec<NewEvent>, Problem> {
    let limits = &api.limits;
    if bodies.is_empty() {
        return Err(Problem::new(Code::InvalidBody, "events: at least one is needed"));
    }
    if bodies.len() > limits.events {
        return Err(Problem::new(
            Code::TooLarge,
            format!("an append has {} events at most (http.limits.events)", limits.events),
        ));
    }
    let mut events = Vec::with_capacity(bodies.len());
    for (index, body) in bodies.into_iter().enumerate() {
        if body.payload.get().len() > limits.payload_bytes {
            return Err(Problem::new(
                Code::TooLarge,
                format!(
                    "events[{index}].payload: it has {} bytes at most (http.limits.payload_bytes)",
                    limits.payload_bytes
                ),
            )
            .of_event(index));
        }
        if key && body.event_id.is_some() {
            return Err(Problem::invalid(format!(
                "events[{index}].event_id: with an Idempotency-Key the ids follow from the key; \
                 leave out one of the two"
            )));
        }
        let ids = [&body.correlation_id, &body.causation_id].map(|id| id.as_deref().unwrap_or(""));
        if [body.event_type.as_str(), ids[0], ids[1]].iter().any(|text| text.len() > MAX_NAME) {
            return Err(Problem::new(
                Code::InvalidEvent,
                format!(
                    "events[{index}]: type, correlation_id and causation_id have {MAX_NAME} bytes \
                     at most"
                ),
            )
            .of_event(index));
        }
        if body.event_id.is_some_and(|id| id.get_version_num() == 8) {
            return Err(Problem::new(
                Code::InvalidEvent,
                format!(
                    "events[{index}]: UUIDs of version 8 are the ids of what process managers append; take \
                     version 4 or 7, or leave `event_id` out"
                ),
            )
            .of_event(index));
        }
        events.push(NewEvent {
            id: body.event_id,
            event_type: body.event_type,
            schema_version: body.schema_version,
            payload: body.payload,
            occurred_at: body.occurred_at,
            correlation_id: body.correlation_id,
            causation_id: body.causation_id,
            trace: trace.cloned(),
        });
    }
    Ok(events)
}

fn answer(stream: StreamId, appended: &Appended) -> Response {
    let events: Vec<AppendedEventBody> = appended
        .events
        .iter()
        .map(|event| AppendedEventBody {
            event_id: event.id,
            position: event.position,
            version: event.version,
            occurred_at: event.occurred_at,
        })
        .collect();
    let version = events.last().map_or(0, |event| event.version);
    let from = events.first().map_or(1, |event| event.version);
    let location = super::streams::link(&stream, &format!("from_version={from}"));
    let position = events.last().map_or(0, |event| event.position);
    let body = AppendedBody { stream: stream.into(), version, position, events };
    let mut response = (StatusCode::CREATED, json(&body)).into_response();
    let headers = response.headers_mut();
    if let Some(tag) = version_tag(version) {
        headers.insert(header::ETAG, tag);
    }
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(header::LOCATION, location);
    }
    if appended.repeated {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
