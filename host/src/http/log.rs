//! `GET /v1/events`

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::PAGE;
use super::event_body::EventBody;
use super::extract::Tenant;
use super::params::Params;
use super::problem::Problem;
use super::reader::{FILTERS, LogReader};
use super::responses::{ReadProblems, json};
use super::state::Api;
use crate::event::DEFAULT_TENANT;

/// A page of the log that finds little of what it looks for ends after this time, and says where to go on.
const SEARCH: Duration = Duration::from_secs(2);

/// A page of the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogPage)]
pub(super) struct LogPage {
    /// In the order of positions. Dismissed events are left out unless they were asked for.
    events: Vec<EventBody>,
    /// Where to go on: everything that matches up to here is in this page or in earlier ones. Not
    /// less than the position that was given.
    #[schema(minimum = 0)]
    after: i64,
    /// The safe head: nothing can appear any more at or below this position.
    #[schema(minimum = 0)]
    head: i64,
    /// Where the next page is; null where there is none yet.
    next: Option<String>,
}

/// Read the log
///
/// The events of one tenant in the order of their positions, up to the safe head: whoever goes on
/// after the position that a page gives misses none.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "readLog",
    tag = "log",
    params(
        ("after" = Option<i64>, Query, minimum = 0,
            description = "The position after which to begin [default: 0]"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000,
            description = "Events, at most [default: 100]. A page also ends at some 16 MiB, and \
                           after a search of 2 s"),
        ("type" = Option<Vec<String>>, Query, description = "Only these types"),
        ("aggregate" = Option<Vec<String>>, Query, description = "Only these kinds of aggregate"),
        ("dismissed" = Option<super::event_body::DismissedBody>, Query,
            description = "[default: excluded]"),
    ),
    responses(
        (status = 200, description = "A page of the log", body = LogPage),
        ReadProblems,
    ),
)]
pub(super) async fn read_log(
    State(api): State<Api>,
    tenant: Tenant,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["after", "limit", FILTERS[0], FILTERS[1], "dismissed"])?;
    let dismissed = params.dismissed()?;
    let after = params.number("after", 0, i64::MAX)?.unwrap_or(0);
    let limit = params.number("limit", 1, api.limits.page)?.unwrap_or(PAGE.min(api.limits.page));
    let appended = tenant.0.appended();
    let mut reader = LogReader::new(tenant.0, &params, after).with_dismissed(dismissed);
    // A page that ends at the head waits until what this API has appended is below it. Where a
    // transaction in progress holds the head back for too long, the page is what is safe.
    let patience = tokio::time::Instant::now() + api.limits.answer / 2;
    let (mut events, mut more, mut late) = (Vec::new(), true, false);
    loop {
        let (started, mut full) = (Instant::now(), false);
        while !full && started.elapsed() < SEARCH {
            let left = limit - events.len() as i64;
            let step = reader.step(left).await.map_err(|error| reader.problem(&error))?;
            events.extend(step.events.into_iter().map(EventBody::from));
            (more, full) = (step.more, step.full);
            if !more {
                break;
            }
        }
        if more || full || late || reader.head() >= appended {
            break;
        }
        late = tokio::time::timeout_at(patience, reader.until_head(appended)).await.is_err();
    }
    let after = reader.position();
    let path = match reader.tenant() {
        DEFAULT_TENANT => "/v1/events".to_owned(),
        tenant => format!("/v1/tenants/{}/events", utf8_percent_encode(tenant, NON_ALPHANUMERIC)),
    };
    let next = more.then(|| format!("{path}?after={after}&limit={limit}{}", reader.query()));
    Ok(json(&LogPage { events, after, head: reader.head(), next }))
}
