//! What answers have in common, and which problems each kind of operation can end in.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::response::Response as Documented;
use utoipa::openapi::{ContentBuilder, Header, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema as _};

use super::problem::{Code, MEDIA_TYPE, Problem};

/// A JSON answer. Events are written by others at any time, so nothing is cached.
pub(super) fn json(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (headers, body).into_response()
        }
        Err(error) => Problem::new(Code::InternalError, error.to_string()).into_response(),
    }
}

/// The statuses of what every operation under `/v1` can end in, with their meaning.
const ALWAYS: &[(u16, &str)] = &[
    (400, "The path, a parameter or a header is wrong"),
    (401, "No token, or one that is not known"),
    (403, "The token does not allow this"),
    (404, "No such tenant, or nothing of this name"),
    (500, "Something is wrong with the host"),
    (503, "Too much to do, or no database: try again after `Retry-After`"),
];

/// The same for what takes a body.
const BODY: &[(u16, &str)] = &[
    (408, "The body took too long to arrive"),
    (413, "The body is larger than the API takes"),
    (415, "The body is not sent as `application/json`"),
    (422, "The body is JSON, but can't be used"),
];

const STREAM: &[(u16, &str)] =
    &[(409, "Events that were asked for are in a partition that was taken out of the log")];

const QUERY: &[(u16, &str)] = &[
    (422, "The plugin says that the query makes no sense with these parameters"),
    (500, "The plugin was stopped, or its SQL is wrong"),
];

const APPEND: &[(u16, &str)] = &[
    (409, "The stream is not at `expected_version`, or an event id is taken"),
    (412, "The stream is not as `If-Match` or `If-None-Match` has it"),
];

const CHANGE: &[(u16, &str)] =
    &[(409, "The mode or the state of the projection does not allow this")];

/// The problems of an operation that reads.
pub(super) struct ReadProblems;
/// The problems of reading one stream.
pub(super) struct StreamProblems;
/// The problems of a query.
pub(super) struct QueryProblems;
/// The problems of a subscription.
pub(super) type SubscribeProblems = ReadProblems;
/// The problems of an operation with a body.
pub(super) struct BodyProblems;
/// The problems of an operation that changes a projection.
pub(super) struct ChangeProblems;
/// The problems of an append.
pub(super) struct AppendProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        documented(&[ALWAYS])
    }
}

impl IntoResponses for QueryProblems {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        documented(&[ALWAYS, QUERY])
    }
}

impl IntoResponses for StreamProblems {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        documented(&[ALWAYS, STREAM])
    }
}

impl IntoResponses for BodyProblems {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        documented(&[ALWAYS, BODY])
    }
}

impl IntoResponses for ChangeProblems {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        documented(&[ALWAYS, BODY, CHANGE])
    }
}

impl IntoResponses for AppendProblems {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        documented(&[ALWAYS, BODY, APPEND])
    }
}

fn documented(groups: &[&[(u16, &str)]]) -> BTreeMap<String, RefOr<Documented>> {
    let problem = || ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let one = |(status, meaning): &(u16, &str)| {
        let mut response =
            ResponseBuilder::new().description(*meaning).content(MEDIA_TYPE, problem());
        if *status == 503 {
            let mut seconds = Header::new(u32::schema());
            seconds.description = Some("Seconds to wait".to_owned());
            response = response.header("Retry-After", seconds);
        }
        (status.to_string(), response.build().into())
    };
    groups.iter().flat_map(|group| group.iter()).map(one).collect()
}
