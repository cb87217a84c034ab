//! `GET /v1/streams/{aggregate}/{id}/events`

use axum::http::header;
use axum::response::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::event_body::{EventBody, StreamBody};
use super::extract::{StreamName, Tenant};
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{StreamProblems, json};
use super::state::Api;
use super::{PAGE, version_tag};
use crate::event::{DEFAULT_TENANT, MAX_VERSION, StreamId};
use crate::store::{Direction, add_traces};

/// What stands for itself in a part of a path.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A page of a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StreamPage)]
pub(super) struct StreamPage {
    stream: StreamBody,
    /// The version of the stream's last event, to expect in an append; also in `ETag`.
    version: i32,
    /// In the order that was asked for. Dismissed events are left out unless they were asked for.
    events: Vec<EventBody>,
    /// Where the next page is; null after the last one.
    next: Option<String>,
}

/// Read a stream
///
/// Page by page, from a version on, forward or backward.
#[utoipa::path(
    get,
    path = "/streams/{aggregate}/{id}/events",
    operation_id = "readStream",
    tag = "streams",
    params(
        ("aggregate" = String, Path, description = "The kind of aggregate, such as `Account`",
            min_length = 1, max_length = 512),
        ("id" = String, Path, description = "Which aggregate of that kind",
            min_length = 1, max_length = 512),
        ("from_version" = Option<i32>, Query, minimum = 1,
            description = "The first version of the page; backward, its greatest"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000,
            description = "Events, at most [default: 100]. A page also ends at some 16 MiB"),
        ("direction" = Option<super::event_body::DirectionBody>, Query,
            description = "[default: forward]"),
        ("dismissed" = Option<super::event_body::DismissedBody>, Query,
            description = "[default: excluded]"),
    ),
    responses(
        (status = 200, description = "A page of the stream", body = StreamPage,
            headers(("ETag" = String, description = "The version of the stream, in quotes"))),
        StreamProblems,
    ),
)]
pub(super) async fn read_stream(
    axum::extract::State(api): axum::extract::State<Api>,
    tenant: Tenant,
    name: StreamName,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["from_version", "limit", "direction", "dismissed"])?;
    let dismissed = params.dismissed()?;
    let limit = params.number("limit", 1, api.limits.page)?.unwrap_or(PAGE.min(api.limits.page));
    let direction = match params.one("direction")? {
        None | Some("forward") => Direction::Forward,
        Some("backward") => Direction::Backward,
        Some(_) => return Err(Problem::invalid("direction is `forward` or `backward`")),
    };
    let from = params.number("from_version", 1, MAX_VERSION)?;
    let stream = name.of(&tenant);
    let store = &tenant.0.store;
    let refused = |error| Problem::of_store(&error, &stream.tenant);
    // The version first: an append that comes in between is not in it, and neither shown nor
    // expected by whoever appends next.
    let Some(version) = store.stream_version(&stream).await.map_err(refused)? else {
        return Err(Problem::new(
            Code::StreamNotFound,
            format!("no event was ever appended to {stream}"),
        ));
    };
    let from = match direction {
        Direction::Forward => from.unwrap_or(1),
        Direction::Backward => from.unwrap_or(MAX_VERSION).min(version),
    };
    let page = store.stream_page(&stream, direction, from, limit, dismissed).await;
    let mut page = page.map_err(refused)?;
    add_traces(store.pool(), &mut page.events).await.map_err(refused)?;
    let last = page.events.last().map(|event| event.version);
    let next = last.filter(|_| page.full).and_then(|last| match direction {
        Direction::Forward => Some(last + 1).filter(|next| *next <= version),
        Direction::Backward => Some(last - 1).filter(|next| *next > 0),
    });
    let next = next.map(|next| {
        let direction = match direction {
            Direction::Forward => "",
            Direction::Backward => "&direction=backward",
        };
        let dismissed = if dismissed { "&dismissed=included" } else { "" };
        link(&stream, &format!("from_version={next}&limit={limit}{direction}{dismissed}"))
    });
    let events = page.events.into_iter().filter(|event| event.version <= version);
    let events = events.map(EventBody::from).collect();
    let mut response = json(&StreamPage { stream: stream.into(), version, events, next });
    if let Some(tag) = version_tag(version) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// The address of a stream's events, with the tenant in the path where it is not the default one.
pub(super) fn link(stream: &StreamId, query: &str) -> String {
    let [tenant, aggregate, id] = [&stream.tenant, &stream.aggregate, &stream.id]
        .map(|name| utf8_percent_encode(name, &PLAIN));
    match stream.tenant.as_str() {
        DEFAULT_TENANT => format!("/v1/streams/{aggregate}/{id}/events?{query}"),
        _ => format!("/v1/tenants/{tenant}/streams/{aggregate}/{id}/events?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_survives_any_name() {
        let stream = StreamId::new("A/B", "ö ?#%").in_tenant("t&t");
        assert_eq!(
            link(&stream, "limit=1"),
            "/v1/tenants/t%26t/streams/A%2FB/%C3%B6%20%3F%23%25/events?limit=1"
        );
        assert_eq!(link(&StreamId::new("A", "1"), "x=1"), "/v1/streams/A/1/events?x=1");
    }
}
