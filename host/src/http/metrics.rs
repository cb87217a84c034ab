//! `GET /metrics`, and what the API counts.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::runner::{Health, ProjectionHealth};
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
        (
            "eventfabric_outbox_delivered_total",
            "Rows that were taken out of the outbox, by anybody",
        ),
        (
            "eventfabric_reactor_requests_total",
            "Requests that reactors sent, by projection and outcome",
        ),
        ("eventfabric_http_subscriptions_cut_total", "Subscribers that took nothing"),
        ("eventfabric_projection_events_total", "Events that a plugin handled on this host"),
        ("eventfabric_projection_calls_total", "Calls of a plugin, each with a batch of events"),
        ("eventfabric_projection_failed_calls_total", "Those of them that failed"),
        ("eventfabric_projection_wasm_microseconds_total", "Time in a plugin itself"),
        ("eventfabric_projection_sql_microseconds_total", "Time that a plugin waited for SQL"),
        ("eventfabric_projection_statements_total", "Statements of a plugin"),
        ("eventfabric_projection_rows_read_total", "Rows that the queries of a plugin returned"),
        ("eventfabric_projection_rows_written_total", "Rows that a plugin wrote"),
        ("eventfabric_projection_bytes_total", "Bytes between the host and a plugin"),
        ("eventfabric_spans_sent_total", "Spans that the collector has taken"),
        ("eventfabric_spans_dropped_total", "Spans that were not sent, by reason"),
    ] {
        metrics::describe_counter!(name, text);
    }
    for (name, text) in [
        ("eventfabric_http_requests_in_flight", "Requests that are being answered"),
        ("eventfabric_http_subscriptions", "Open subscriptions"),
        ("eventfabric_log_head", "The safe head of the log"),
        ("eventfabric_stalls", "What stands still although it has work; /readyz says why"),
        ("eventfabric_tasks_failing", "Tasks of the host that end when they should not"),
        ("eventfabric_outbox_rows", "Rows that wait in the outbox, by topic"),
        ("eventfabric_outbox_oldest_seconds", "How old the oldest of them is, by topic"),
        ("eventfabric_projection_lag_seconds", "How old the first event is that it has to handle"),
        ("eventfabric_projection_rate", "Positions or rows a second, between the last two looks"),
        ("eventfabric_projection_paused", "1: no host runs the projection"),
        ("eventfabric_projection_retries_due", "Events whose next attempt is due"),
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
        ("eventfabric_projection_event_wasm_seconds", "Time in a plugin, for an event of a type"),
        ("eventfabric_projection_event_sql_seconds", "Time in SQL, for an event of a type"),
    ] {
        metrics::describe_gauge!(name, text);
    }
    for (name, text) in [
        ("eventfabric_http_request_seconds", "How long answers took"),
        ("eventfabric_reactor_request_seconds", "How long requests of reactors took"),
    ] {
        metrics::describe_histogram!(name, text);
    }
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
    keep_up();
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, text)], without_gone(&handle.render())).into_response())
}

/// The value of a gauge of something that is gone: the recorder can forget none, so it is left out of what it says.
pub(super) const GONE: f64 = f64::NAN;

fn without_gone(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.ends_with(" NaN\n")).collect()
}

/// Sums up what was timed: between two calls, every single time is kept. (Not everybody scrapes.)
pub(super) fn keep_up() {
    if let Some(Some(handle)) = RECORDER.get() {
        handle.run_upkeep();
    }
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
        StoreError::AppendTimedOut { .. } | StoreError::AppendUnanswered { .. } => "time-out",
        StoreError::Database(error) if !db::is_connection_lost(error) => "data",
        StoreError::Database(_) => "database",
        _ => "invalid",
    };
    counter!("eventfabric_appends_refused_total", "reason" => reason).increment(1);
}

/// Topics that have gauges of their own; the rest are counted together. (Whoever appends chooses
/// topics, so there may be many.)
const TOPICS: usize = 50;
/// The label of that rest, and of rows without a topic.
const OTHER: &str = "(other)";
const NONE: &str = "(none)";

/// The gauges of the delivery. Remembers which are shown, so that those of projections that are gone vanish, and
/// topics without rows go to 0.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    topics: BTreeSet<String>,
    projections: BTreeSet<String>,
}

impl Delivery {
    /// How the delivery stands.
    pub(super) fn show(&mut self, health: &Health) {
        counter!("eventfabric_outbox_delivered_total")
            .absolute(health.outbox.delivered.unsigned_abs());
        let mut topics: BTreeMap<&str, (i64, f64)> = BTreeMap::new();
        for of in &health.outbox.topics {
            let topic = of.topic.as_deref().unwrap_or(NONE);
            let known = self.topics.contains(topic);
            let label = if known || self.topics.len() < TOPICS { topic } else { OTHER };
            self.topics.insert(label.to_owned());
            let (rows, oldest) = topics.entry(label).or_default();
            *rows += of.rows;
            *oldest = oldest.max(of.oldest_seconds);
        }
        for topic in &self.topics {
            let (rows, oldest) = topics.get(topic.as_str()).copied().unwrap_or_default();
            gauge!("eventfabric_outbox_rows", "topic" => topic.clone()).set(rows as f64);
            gauge!("eventfabric_outbox_oldest_seconds", "topic" => topic.clone()).set(oldest);
        }
        let gone: Vec<String> = self
            .projections
            .iter()
            .filter(|name| !health.projections.iter().any(|now| now.name == **name))
            .cloned()
            .collect();
        for name in gone {
            show(&name, |_| Some(GONE));
            self.projections.remove(&name);
        }
        for projection in &health.projections {
            show(&projection.name, |gauge| gauge(projection));
            self.projections.insert(projection.name.clone());
        }
    }
}

/// What a gauge shows of a projection, where it has it.
type Shown = fn(&ProjectionHealth) -> Option<f64>;

/// The gauges of a projection.
const PROJECTION: [(&str, Shown); 9] = [
    ("eventfabric_projection_behind", |it| Some(it.behind as f64)),
    ("eventfabric_projection_lag_seconds", |it| Some(it.lag_seconds.unwrap_or_default())),
    ("eventfabric_projection_rate", |it| Some(it.rate.unwrap_or_default())),
    ("eventfabric_projection_retries", |it| Some(it.retries as f64)),
    ("eventfabric_projection_retries_due", |it| Some(it.due as f64)),
    ("eventfabric_projection_dead_letters", |it| Some(it.dead_letters as f64)),
    ("eventfabric_projection_failed", |it| Some(f64::from(it.state == "failed"))),
    ("eventfabric_projection_paused", |it| Some(f64::from(it.state == "paused"))),
    ("eventfabric_projection_position", |it| it.position.map(|position| position as f64)),
];

fn show(projection: &str, value: impl Fn(Shown) -> Option<f64>) {
    for (metric, shown) in PROJECTION {
        if let Some(value) = value(shown) {
            gauge!(metric, "projection" => projection.to_owned()).set(value);
        }
    }
}

/// How the host stands.
pub(super) fn host(api: &Api) {
    super::tenants::count(api);
    super::costs::count(api.host.registry().costs());
    gauge!("eventfabric_stalls").set(api.host.stalls().borrow().len() as f64);
    gauge!("eventfabric_tasks_failing").set(api.host.failing_tasks().len() as f64);
    gauge!("eventfabric_log_head").set(api.host.head().borrow().position as f64);
    let connections = api.host.store().connections();
    let (pool, idle) = (connections.pool(), connections.idle() as f64);
    gauge!("eventfabric_database_connections", "state" => "idle").set(idle);
    gauge!("eventfabric_database_connections", "state" => "busy")
        .set(f64::from(pool.size()) - idle);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_left_out_whatever_its_labels_say() {
        let builder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&builder, || {
            gauge!("g", "projection" => "gone").set(GONE);
            gauge!("g", "projection" => "a NaN").set(1.0);
        });
        let text = builder.handle().render();
        assert!(text.contains("gone"), "{text}");
        let left = without_gone(&text);
        assert!(left.contains("g{projection=\"a NaN\"} 1\n") && !left.contains("gone"), "{left}");
    }
}
