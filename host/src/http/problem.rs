//! Errors as problem documents (RFC 9457). Every answer that is no success is one, with a stable
//! `code` to branch on.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::expected::Expected;
use crate::code::Coded;
use crate::db;
use crate::store::StoreError;

/// The media type of a problem document.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// What a client can branch on. A code never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Code {
    /// There is nothing at this address.
    NotFound,
    /// The address does not have this method; see the header `Allow`.
    MethodNotAllowed,
    /// The path, a parameter or a header is wrong.
    InvalidRequest,
    /// The body is not JSON in UTF-8.
    MalformedJson,
    /// The body is JSON, but not what is asked for.
    InvalidBody,
    /// The body is not sent as `application/json`.
    UnsupportedMediaType,
    /// The body, its events or a payload are larger than the API takes.
    TooLarge,
    /// The client took too long to send the request.
    ReceiveTimeOut,
    /// No token, or one that is not known.
    Unauthorized,
    /// The token does not allow this.
    Forbidden,
    /// The token is for other tenants.
    TenantForbidden,
    /// There is no such tenant.
    UnknownTenant,
    /// The tenant has a database of its own, and this host serves none of those.
    TenantNotServed,
    /// The stream has never had an event.
    StreamNotFound,
    /// Events of the stream that were asked for are in a partition that was taken out of the log.
    EventsDetached,
    /// There is no such projection.
    ProjectionNotFound,
    /// There is no such dead letter.
    DeadLetterNotFound,
    /// There is no such schema.
    SchemaNotFound,
    /// The version of the event type has another schema.
    SchemaTaken,
    /// The plugin answers no such query.
    QueryNotFound,
    /// The plugin says that the query makes no sense with these parameters.
    QueryRefused,
    /// The plugin could not answer: it was stopped, or its SQL is wrong.
    QueryFailed,
    /// The mode or the state of the projection does not allow this.
    ProjectionState,
    /// The stream is at `actual`, and not as `expected`.
    ExpectedVersionConflict,
    /// An event id is taken by another event.
    DuplicateEvent,
    /// The `Idempotency-Key` was used for another append.
    IdempotencyKeyReused,
    /// An event can't be stored as it is.
    InvalidEvent,
    /// An inline projection refuses an event.
    RefusedByProjection,
    /// Too many requests or subscriptions are being served; try again.
    Overloaded,
    /// The database can't be reached, or takes no writes; try again.
    DatabaseUnavailable,
    /// The database was busy with the same rows, or an inline projection could not run now; try
    /// again.
    Busy,
    /// It took too long. An append may have been made: repeat it with the same `Idempotency-Key`.
    TimeOut,
    /// The host is being stopped.
    Stopping,
    /// Something is wrong with the host; its log says what.
    InternalError,
}

impl Code {
    fn title(self) -> &'static str {
        match self {
            Self::NotFound => "There is nothing here",
            Self::MethodNotAllowed => "This address does not have this method",
            Self::InvalidRequest => "The request is wrong",
            Self::MalformedJson => "The body is not JSON",
            Self::InvalidBody => "The body is not what is asked for",
            Self::UnsupportedMediaType => "The body is not sent as JSON",
            Self::TooLarge => "The request is too large",
            Self::ReceiveTimeOut => "The request took too long to arrive",
            Self::Unauthorized => "A token is needed",
            Self::Forbidden => "The token does not allow this",
            Self::TenantForbidden => "The token is for other tenants",
            Self::UnknownTenant => "There is no such tenant",
            Self::TenantNotServed => "The tenant is not served by this host",
            Self::StreamNotFound => "There is no such stream",
            Self::EventsDetached => "Events of the stream are not in the log now",
            Self::ProjectionNotFound => "There is no such projection",
            Self::ProjectionState => "The projection does not allow this",
            Self::DeadLetterNotFound => "There is no such dead letter",
            Self::SchemaNotFound => "There is no such schema",
            Self::SchemaTaken => "The version has another schema",
            Self::QueryNotFound => "There is no such query",
            Self::QueryRefused => "The plugin refuses the query",
            Self::QueryFailed => "The plugin could not answer",
            Self::ExpectedVersionConflict => "The stream is not at the expected version",
            Self::DuplicateEvent => "An event id is taken",
            Self::IdempotencyKeyReused => "The idempotency key was used for another append",
            Self::InvalidEvent => "An event can't be stored",
            Self::RefusedByProjection => "An inline projection refuses an event",
            Self::Overloaded => "There is too much to do",
            Self::DatabaseUnavailable => "The database is not available",
            Self::Busy => "It can't be done at the moment",
            Self::TimeOut => "It took too long",
            Self::Stopping => "The host is being stopped",
            Self::InternalError => "Something went wrong in the host",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::MalformedJson => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::TenantForbidden => StatusCode::FORBIDDEN,
            Self::NotFound
            | Self::UnknownTenant
            | Self::StreamNotFound
            | Self::ProjectionNotFound
            | Self::DeadLetterNotFound
            | Self::SchemaNotFound
            | Self::QueryNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ReceiveTimeOut => StatusCode::REQUEST_TIMEOUT,
            Self::EventsDetached
            | Self::ExpectedVersionConflict
            | Self::DuplicateEvent
            | Self::SchemaTaken
            | Self::ProjectionState => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidBody
            | Self::IdempotencyKeyReused
            | Self::InvalidEvent
            | Self::QueryRefused
            | Self::RefusedByProjection => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Overloaded
            | Self::TenantNotServed
            | Self::DatabaseUnavailable
            | Self::Busy
            | Self::TimeOut
            | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::QueryFailed | Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Seconds after which a client should try again, where that can help.
    fn retry_after(self) -> Option<HeaderValue> {
        match self {
            Self::Overloaded | Self::Busy | Self::TimeOut => Some(HeaderValue::from_static("1")),
            // Until an operator has done something.
            Self::TenantNotServed => Some(HeaderValue::from_static("60")),
            Self::DatabaseUnavailable | Self::Stopping => Some(HeaderValue::from_static("5")),
            _ => None,
        }
    }
}

/// A problem document.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// `urn:eventfabric:problem:` and the code.
    #[serde(rename = "type")]
    uri: String,
    /// The code in words.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What to branch on.
    pub(super) code: Code,
    /// What happened this time, and what to do.
    detail: String,
    /// The code of the error itself, where that tells more than `code`; `eventfabric explain` knows both.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// What was expected of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Expected>,
    /// The version of the stream's last event; 0 where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<i32>,
    /// The place of the event in the request, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<usize>,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let kebab = serde_json::to_value(code).unwrap_or_default();
        Self {
            uri: format!("urn:eventfabric:problem:{}", kebab.as_str().unwrap_or_default()),
            title: code.title(),
            status: code.status().as_u16(),
            code,
            detail: detail.into(),
            cause: None,
            expected: None,
            actual: None,
            event: None,
        }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// The same with another status, which RFC 9110 has for it.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }

    /// The same with the code of the error behind it.
    pub(super) fn caused_by(mut self, error: &impl Coded) -> Self {
        self.cause = Some(error.code());
        self
    }

    /// The same, about one event of the request.
    pub(super) fn of_event(mut self, index: usize) -> Self {
        self.event = Some(index);
        self
    }

    /// What the store says, without anything of another tenant than the caller's.
    pub(super) fn of_store(error: &StoreError, tenant: &str) -> Self {
        match error {
            StoreError::Conflict { expected, actual, .. } => Self {
                expected: Some(Expected(*expected)),
                actual: Some(*actual),
                ..Self::new(Code::ExpectedVersionConflict, error.to_string())
            },
            StoreError::DuplicateEvent { stream, .. } if stream.tenant == tenant => {
                Self::new(Code::DuplicateEvent, error.to_string())
            }
            StoreError::DuplicateEvent { id, .. } | StoreError::EventIdTaken { id } => Self::new(
                Code::DuplicateEvent,
                format!("event id {id} is taken; leave ids out or make new ones"),
            ),
            StoreError::KeyReused { .. } => {
                Self::new(Code::IdempotencyKeyReused, error.to_string())
            }
            StoreError::InvalidEvent { index, .. } => {
                Self::new(Code::InvalidEvent, error.to_string()).of_event(*index)
            }
            StoreError::InvalidAppend(_) => Self::new(Code::InvalidBody, error.to_string()),
            StoreError::Inline(failure) if failure.retryable => {
                Self::new(Code::Busy, error.to_string())
            }
            StoreError::Inline(_) => Self::new(Code::RefusedByProjection, error.to_string()),
            StoreError::AppendTimedOut { .. } => Self::new(Code::Busy, error.to_string()),
            StoreError::AppendUnanswered { .. } => Self::new(Code::TimeOut, error.to_string()),
            StoreError::InlineUnavailable(_) => Self::new(Code::Busy, error.to_string()),
            StoreError::Database(_) if error.is_detached() => {
                Self::new(Code::EventsDetached, error.to_string())
            }
            StoreError::Database(_) if error.is_bad_data() => {
                Self::new(Code::InvalidEvent, error.to_string())
            }
            StoreError::Database(error) => Self::of_database(error),
            other => Self::internal(other),
        }
    }

    /// What the database says. Whoever asks learns that it is not available; the log has the rest.
    pub(super) fn of_database(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|db| db.code());
        match code.as_deref() {
            // Cancelled, lost a race, waited too long for a lock.
            Some("57014" | "40001" | "40P01" | "55P03") => {
                Self::new(Code::Busy, "another transaction was in the way; try again")
            }
            // 53: out of memory, disk or connections. 25006: read-only.
            Some(code) if code.starts_with("53") || code == "25006" => {
                tracing::warn!(%error, "the database takes no work");
                Self::new(Code::DatabaseUnavailable, "the database takes no work at the moment")
            }
            _ if db::is_connection_lost(error) => {
                tracing::warn!(%error, "the database cannot be reached");
                Self::new(
                    Code::DatabaseUnavailable,
                    "the database cannot be reached; an append may have been made, so repeat it \
                     with the same Idempotency-Key",
                )
            }
            _ => Self::internal(error),
        }
    }

    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(Code::InternalError, "the log of the host says what")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.code.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds);
        }
        if self.code == Code::Unauthorized {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"eventfabric\""),
            );
        }
        if let Some(etag) = self.actual.and_then(super::version_tag) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}
