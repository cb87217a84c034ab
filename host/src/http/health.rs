//! `GET /healthz`, `GET /readyz`: whether the process answers, and whether everything moves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::metrics;
use super::responses::json;
use super::state::Api;
use crate::runner::{ProjectionStatus, statuses};

/// How often it is looked how the projections stand, at most.
const LOOK: Duration = Duration::from_secs(5);
/// A projection that has something to do and does nothing for this long stands still.
const STILL: Duration = Duration::from_secs(30);
/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
    /// The version of the host.
    version: &'static str,
}

/// Whether everything moves.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Nothing stands still.
    ready: bool,
    /// What does, and why.
    reasons: Vec<String>,
}

/// Whether the process answers
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "health",
    tag = "operation",
    security(()),
    responses((status = 200, description = "It does", body = Health)),
)]
pub(super) async fn healthz() -> Response {
    json(&Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether everything moves
///
/// Not so while the host starts or stops, the database does not answer, a task of the host fails
/// again and again, or a projection has stopped, can't be loaded, or has done nothing for 30 s that it
/// had to do.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readiness",
    tag = "operation",
    security(()),
    responses(
        (status = 200, description = "Everything moves", body = Readiness),
        (status = 503, description = "Something stands still", body = Readiness),
    ),
)]
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let mut reasons = Vec::new();
    if api.stop.is_cancelled() {
        reasons.push("the host is being stopped".to_owned());
    } else if !api.host.is_running() {
        reasons.push("the host is starting".to_owned());
    }
    let alive =
        async { sqlx::Connection::ping(&mut *api.host.store().pool().acquire().await?).await };
    if !matches!(tokio::time::timeout(ANSWER, alive).await, Ok(Ok(()))) {
        reasons.push("the database does not answer".to_owned());
    }
    reasons.extend(
        api.host.failing_tasks().into_iter().map(|task| format!("the task `{task}` fails")),
    );
    let snapshot = api.host.registry().snapshot();
    for (name, registered) in &snapshot.registered {
        if registered.failed {
            reasons.push(format!("the projection {name} was stopped by an error"));
        } else if snapshot.current(name).is_none() {
            reasons.push(format!("the projection {name} is not loaded in this host"));
        }
    }
    reasons
        .extend(api.still().into_iter().map(|name| format!("the projection {name} stands still")));
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let ready = reasons.is_empty();
    // Nothing that stands in the way of the others.
    reasons.extend(api.apart.reason());
    (status, json(&Readiness { ready, reasons })).into_response()
}

/// Looks at the projections from time to time, for readiness and metrics, until the host stops.
pub(super) async fn watch(api: Api) {
    let mut progress = Progress::default();
    loop {
        let begun = Instant::now();
        let looked = tokio::select! {
            () = api.stop.cancelled() => return,
            looked = statuses(api.host.store().pool()) => looked,
        };
        match looked {
            Ok(statuses) => {
                api.note_still(progress.look(&statuses, begun));
                metrics::projections(&statuses);
            }
            Err(error) => tracing::debug!(%error, "it is not known how the projections stand"),
        }
        metrics::host(&api);
        // Counting what a projection has to do takes long when it is much.
        let pause = LOOK.max(begun.elapsed() * 10);
        tokio::select! {
            () = api.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Since when each projection has stood where it stands, with something to do.
#[derive(Debug, Default)]
struct Progress(BTreeMap<String, (Place, Instant)>);

/// Changes whenever a projection does something.
type Place = (Option<i64>, i64, i64, i64);

impl Progress {
    /// Takes in how the projections stand. Answers which of them stand still.
    fn look(&mut self, statuses: &[ProjectionStatus], now: Instant) -> Vec<String> {
        let mut next = BTreeMap::new();
        for status in statuses.iter().filter(|status| status.behind > 0) {
            // A catch-up projection moves its position; what is behind it grows by itself. An async
            // one has less or other work.
            let place = match status.position {
                Some(position) => (Some(position), 0, 0, 0),
                None if status.mode == "catch-up" => (None, 0, 0, 0),
                None => (None, status.behind, status.retries, status.dead_letters),
            };
            let before = self.0.get(&status.name).filter(|(before, _)| *before == place);
            let since = before.map_or(now, |(_, since)| *since);
            next.insert(status.name.clone(), (place, since));
        }
        self.0 = next;
        let still = self.0.iter().filter(|(_, (_, since))| now.duration_since(*since) >= STILL);
        still.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(mode: &str, position: Option<i64>, behind: i64) -> ProjectionStatus {
        ProjectionStatus {
            name: "owners".to_owned(),
            mode: mode.to_owned(),
            version: String::new(),
            state: "running".to_owned(),
            last_error: None,
            position,
            behind,
            retries: 0,
            dead_letters: 0,
        }
    }

    #[test]
    fn a_projection_stands_still_when_it_has_work_and_does_none_of_it() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let mut at =
            |seconds, status| progress.look(&[status], start + Duration::from_secs(seconds));
        assert!(at(0, status("catch-up", Some(5), 10)).is_empty());
        assert!(at(29, status("catch-up", Some(5), 20)).is_empty());
        assert_eq!(at(30, status("catch-up", Some(5), 30)), ["owners"]);
        assert!(at(31, status("catch-up", Some(6), 40)).is_empty(), "it moves again");
        assert!(at(90, status("catch-up", Some(6), 0)).is_empty(), "nothing to do");
        assert!(at(91, status("async", None, 3)).is_empty());
        assert!(at(110, status("async", None, 2)).is_empty());
        assert!(at(139, status("async", None, 2)).is_empty());
        assert_eq!(at(140, status("async", None, 2)), ["owners"]);
    }
}
