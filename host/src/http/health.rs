//! `GET /healthz`, `GET /readyz`: whether the process answers, and whether everything moves.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;

use super::responses::json;
use super::state::Api;
use super::{costs, metrics};
use crate::runner::{Health, Stall, health};
use crate::store;

/// How often it is looked how the delivery stands, at most.
const LOOK: Duration = Duration::from_secs(5);
/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(super) struct Alive {
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
    responses((status = 200, description = "It does", body = Alive)),
)]
pub(super) async fn healthz() -> Response {
    json(&Alive { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether everything moves
///
/// Not so while the host starts or stops, the database does not answer, a task of the host fails
/// again and again, a projection has stopped or can't be loaded, or the log, the outbox or a projection
/// has done nothing for 30 s (`runner.stall`) that it had to do: the reason names who is in the way. A
/// projection that was paused is as it should be.
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
    let mut reasons = reasons(&api).await;
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let ready = reasons.is_empty();
    // Nothing that stands in the way of the others.
    reasons.extend(api.apart.reason());
    (status, json(&Readiness { ready, reasons })).into_response()
}

/// What stands still, and why.
pub(super) async fn reasons(api: &Api) -> Vec<String> {
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
        } else if registered.runs() && !registered.is_relay() && snapshot.current(name).is_none() {
            reasons.push(format!("the projection {name} is not loaded in this host"));
        }
    }
    let stalls = api.host.stalls().borrow().clone();
    // What stopped by an error was named, and what was paused is as it should be.
    let failed = |what: &str| {
        snapshot.registered.values().any(|registered| {
            !registered.runs() && what == format!("the projection {}", registered.name)
        })
    };
    reasons.extend(
        stalls.iter().filter(|stall| !stall.paused && !failed(&stall.what)).map(Stall::to_string),
    );
    reasons
}

/// Looks how the delivery stands from time to time, for the metrics and the history, until the host stops.
pub(super) async fn watch(api: Api) {
    let mut gauges = metrics::Delivery::default();
    let mut by_type = costs::ByType::default();
    let mut before: Option<Health> = None;
    loop {
        let begun = Instant::now();
        let looked = tokio::select! {
            () = api.stop.cancelled() => return,
            looked = health(api.host.store()) => looked,
        };
        match looked {
            Ok(health) => {
                let health = match &before {
                    Some(before) => health.since(before),
                    None => health,
                };
                gauges.show(&health);
                match store::appends_so_far(api.host.store().pool()).await {
                    Ok(appends) => {
                        let end = api.host.head().borrow().position;
                        api.history.note(Utc::now(), appends, end, health.clone());
                    }
                    Err(error) => tracing::debug!(%error, "the appends are not counted"),
                }
                before = Some(health);
            }
            Err(error) => tracing::debug!(%error, "it is not known how the delivery stands"),
        }
        metrics::host(&api);
        by_type.show(api.host.registry());
        metrics::keep_up();
        // Counting what a projection has to do takes long when it is much.
        let pause = LOOK.max(begun.elapsed() * 10);
        tokio::select! {
            () = api.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
