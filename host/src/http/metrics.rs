//! `GET /metrics`, and what the API counts.

use std::sync::OnceLock;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::extract::Operator;
use super::problem::{Code, Problem};
use super::responses::ReadProblems;
use super::state::Api;
use crate::db;
use crate::runner::ProjectionStatus;
use crate::store::{Appended, StoreError};

/// Bounds of the histogram of durations, in seconds.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0];

/// The recorder of this process; none where the program that embeds the host has its own.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Sets the recorder, once a process.
pub(super) fn start() {
    RECORDER.get_or_init(|| {
        let durations = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &SECONDS).ok()?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::info!("/metrics is left out: this program has a recorder of its own");
            return None;
        }
        describe();
        Some(handle)
    });
}

fn describe() {
    for (name, text) in [
        ("eventfabric_http_requests_total", "Answers, by method, route and status"),
        ("eventfabric_appends_total", "Appends that were made"),
        ("eventfabric_appended_events_total", "Events that were appended"),
        ("eventfabric_appends_repeated_total", "Appends that had been made before"),
        ("eventfabric_appends_refused_total", "Appends that were not made, by reason"),
        ("eventfabric_http_subscriptions_cut_total", "Subscribers that took nothing"),
    ] {
        metrics::describe_counter!(name, text);
    }
    for (name, text) in [
        ("eventfabric_http_requests_in_flight", "Requests that are being answered"),
        ("eventfabric_http_subscriptions", "Open subscriptions"),
        ("eventfabric_log_head", "The safe head of the log"),
        ("eventfabric_projection_behind", "Events that a projection has still to handle"),
        ("eventfabric_projection_position", "Where a catch-up projection stands"),
        ("eventfabric_projection_failed", "1: the projection was stopped by an error"),
        ("eventfabric_projection_retries", "Events that wait for another attempt"),
        ("eventfabric_projection_dead_letters", "Events that were given up"),
        (
            "eventfabric_tenants",
            "Tenants with a database of their own that this host runs, by state",
        ),
        ("eventfabric_database_connections", "Connections of the host, by what they do"),
    ] {
        metrics::describe_gauge!(name, text);
    }
    metrics::describe_histogram!("eventfabric_http_request_seconds", "How long answers took");
}

/// Numbers for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "operation",
    responses(
        (status = 200, description = "In the text format of Prometheus", body = String,
            content_type = "text/plain"),
        ReadProblems,
    ),
)]
pub(super) async fn scrape(State(api): State<Api>, _: Operator) -> Result<Response, Problem> {
    let Some(Some(handle)) = RECORDER.get() else {
        return Err(Problem::new(
            Code::NotFound,
            "the program that runs this host has numbers of its own",
        ));
    };
    host(&api);
    handle.run_upkeep();
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, text)], handle.render()).into_response())
}

/// Counts and times every answer.
pub(super) async fn count(request: Request, next: Next) -> Response {
    // What anybody can make up must not become a label.
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let _in_flight = InFlight::new();
    let begun = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    histogram!("eventfabric_http_request_seconds", "method" => method, "route" => route.clone())
        .record(begun.elapsed());
    counter!(
        "eventfabric_http_requests_total",
        "method" => method, "route" => route, "status" => status
    )
    .increment(1);
    response
}

/// A request that is being answered, or whose client has gone away meanwhile.
struct InFlight;

impl InFlight {
    fn new() -> Self {
        gauge!("eventfabric_http_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!("eventfabric_http_requests_in_flight").decrement(1.0);
    }
}

/// An append was answered.
pub(super) fn appended(appended: &Appended) {
    if appended.repeated {
        counter!("eventfabric_appends_repeated_total").increment(1);
    } else {
        counter!("eventfabric_appends_total").increment(1);
        counter!("eventfabric_appended_events_total").increment(appended.events.len() as u64);
    }
}

/// An append was refused, or failed.
pub(super) fn not_appended(error: &StoreError) {
    let reason = match error {
        StoreError::Conflict { .. } => "conflict",
        StoreError::DuplicateEvent { .. }
        | StoreError::EventIdTaken { .. }
        | StoreError::KeyReused { .. } => "duplicate",
        StoreError::Inline(_) | StoreError::InlineUnavailable(_) => "inline",
        StoreError::Database(error) if !db::is_connection_lost(error) => "data",
        StoreError::Database(_) => "database",
        _ => "invalid",
    };
    counter!("eventfabric_appends_refused_total", "reason" => reason).increment(1);
}

/// How the projections stand.
pub(super) fn projections(statuses: &[ProjectionStatus]) {
    for status in statuses {
        let name = || status.name.clone();
        gauge!("eventfabric_projection_behind", "projection" => name()).set(status.behind as f64);
        gauge!("eventfabric_projection_retries", "projection" => name()).set(status.retries as f64);
        gauge!("eventfabric_projection_dead_letters", "projection" => name())
            .set(status.dead_letters as f64);
        let failed = if status.state == "failed" { 1.0 } else { 0.0 };
        gauge!("eventfabric_projection_failed", "projection" => name()).set(failed);
        if let Some(position) = status.position {
            gauge!("eventfabric_projection_position", "projection" => name()).set(position as f64);
        }
    }
}

/// How the host stands.
pub(super) fn host(api: &Api) {
    super::tenants::count(api);
    gauge!("eventfabric_log_head").set(api.host.head().borrow().position as f64);
    let pool = api.host.store().pool();
    let idle = pool.num_idle() as f64;
    gauge!("eventfabric_database_connections", "state" => "idle").set(idle);
    gauge!("eventfabric_database_connections", "state" => "busy")
        .set(f64::from(pool.size()) - idle);
}
