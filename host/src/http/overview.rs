//! `GET /v1/overview`, `GET /v1/overview/history`, `GET /v1/doctor`: what somebody on call looks at first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::extract::{Operator, check_given};
use super::health::reasons;
use super::history::{Lines, Rates};
use super::params::Params;
use super::problem::Problem;
use super::responses::{ReadProblems, json};
use super::state::Api;
use crate::runner::ProjectionHealth;
use crate::runner::doctor::{Checked, Severity, examine};
use crate::store::{self, HostInfo};

/// How long the database may take to name the hosts.
const ANSWER: Duration = Duration::from_secs(2);
/// The doctor looks at most that often, however many ask, unless a projection has changed.
const EXAMINE: Duration = Duration::from_secs(15);

/// What the doctor has found the last time.
pub(super) type LastExamination = Mutex<Option<Examined>>;

/// What the doctor has found.
#[derive(Debug)]
pub(super) struct Examined {
    begun: Instant,
    looked_at: DateTime<Utc>,
    /// How often the registry of plugins had changed by then: what was stopped, resumed or replaced since is
    /// not told of as it was.
    changes: u64,
    checked: Vec<Checked>,
}

/// How everything stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Overview)]
pub(super) struct OverviewBody {
    /// The version of this host.
    version: &'static str,
    /// Nothing stands still; as `/readyz`.
    ready: bool,
    /// What does, and why.
    reasons: Vec<String>,
    /// The hosts of the database; null where it does not answer.
    hosts: Option<Vec<HostBody>>,
    /// When the rest was looked at, by this host, which does so every 5 s or less often where that takes
    /// long; null before the first time.
    looked_at: Option<DateTime<Utc>>,
    /// The end of the log that is safe to read.
    head: i64,
    /// Null before the second look.
    rates: Option<RatesBody>,
    /// Rows that wait in the outbox.
    outbox: i64,
    /// How old the oldest of them is.
    outbox_oldest_seconds: Option<f64>,
    /// Events that were given up, of all projections.
    dead_letters: i64,
    /// The projections, by name.
    projections: Vec<StandingBody>,
}

/// What grows, a second.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rates)]
struct RatesBody {
    /// Streams that are appended to, by anybody.
    appends: f64,
    /// Positions of the log.
    events: f64,
    /// Rows that leave the outbox, and positions that catch-up projections move on.
    deliveries: f64,
}

/// A host that runs on the database.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunningHost)]
struct HostBody {
    /// Machine and process.
    name: String,
    /// Its version.
    version: String,
    /// Since when it runs.
    started_at: DateTime<Utc>,
    /// When it was heard of last; hosts say every half second that they are there.
    seen_at: DateTime<Utc>,
    /// For how long it has been silent.
    silent_seconds: f64,
}

/// How a projection stands: its state now, and its numbers at the last look.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Standing)]
struct StandingBody {
    /// The projection.
    name: String,
    /// `inline`, `catch-up` or `async`.
    mode: String,
    /// `running`, `paused` or `failed`.
    state: &'static str,
    /// Why it does not run.
    reason: Option<String>,
    /// Catch-up: everything up to here is handled.
    position: Option<i64>,
    /// Events that it has still to handle.
    behind: i64,
    /// How old the first of them is.
    lag_seconds: Option<f64>,
    /// Positions or rows a second, between the last two looks.
    rate: Option<f64>,
    /// Events that wait for another attempt.
    retries: i64,
    /// Events that were given up.
    dead_letters: i64,
}

impl From<HostInfo> for HostBody {
    fn from(host: HostInfo) -> Self {
        let HostInfo { name, version, started_at, seen_at, silent_seconds } = host;
        Self { name, version, started_at, seen_at, silent_seconds }
    }
}

impl From<ProjectionHealth> for StandingBody {
    fn from(health: ProjectionHealth) -> Self {
        Self {
            name: health.name,
            mode: health.mode,
            state: health.state,
            reason: health.reason,
            position: health.position,
            behind: health.behind,
            lag_seconds: health.lag_seconds,
            rate: health.rate,
            retries: health.retries,
            dead_letters: health.dead_letters,
        }
    }
}

impl From<Rates> for RatesBody {
    fn from(Rates { appends, events, deliveries }: Rates) -> Self {
        Self { appends, events, deliveries }
    }
}

/// How everything stands
///
/// From what this host has seen last: it costs the database next to nothing, and is answered when that is away.
#[utoipa::path(
    get,
    path = "/overview",
    operation_id = "overview",
    tag = "operation",
    responses((status = 200, description = "How everything stands", body = OverviewBody), ReadProblems),
)]
pub(super) async fn overview(
    State(api): State<Api>,
    _: Operator,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let hosts = tokio::time::timeout(ANSWER, store::hosts(api.host.store().pool())).await;
    let hosts = hosts.ok().and_then(Result::ok);
    let reasons = reasons(&api).await;
    let last = api.history.last();
    let outbox = last.as_ref().map(|(_, health, _)| &health.outbox);
    // As the reasons have it: a page does not tell of one that has stopped, and show it as running.
    let snapshot = api.host.registry().snapshot();
    let looked = last.iter().flat_map(|(_, health, _)| &health.projections);
    let projections = looked.map(|seen| match snapshot.registered.get(&seen.name) {
        Some(registered) => seen.clone().now(registered).into(),
        None => seen.clone().into(),
    });
    Ok(json(&OverviewBody {
        version: env!("CARGO_PKG_VERSION"),
        ready: reasons.is_empty(),
        reasons,
        hosts: hosts.map(|hosts| hosts.into_iter().map(Into::into).collect()),
        looked_at: last.as_ref().map(|(at, ..)| *at),
        head: api.host.head().borrow().position,
        rates: last.as_ref().and_then(|(.., rates)| *rates).map(Into::into),
        outbox: outbox.map_or(0, |outbox| outbox.rows),
        outbox_oldest_seconds: outbox.and_then(|outbox| outbox.oldest_seconds),
        dead_letters: outbox
            .map_or(0, |outbox| outbox.projections.iter().map(|one| one.dead_letters).sum()),
        projections: projections.collect(),
    }))
}

/// The last hour as this host has seen it: lists of the same length, a number for each time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = History)]
pub(super) struct HistoryBody {
    /// When it was looked.
    at: Vec<DateTime<Utc>>,
    /// Streams appended to, a second. Not of one projection.
    appends: Vec<f64>,
    /// Positions of the log, a second. Not of one projection.
    events: Vec<f64>,
    /// Rows and positions handled, a second; of one projection its own.
    deliveries: Vec<f64>,
    /// Rows in the outbox. Not of one projection.
    outbox: Vec<i64>,
    /// The age of the oldest of them, in seconds; of one projection how old the first event is that it has
    /// to handle.
    lag_seconds: Vec<f64>,
    /// Events given up. Not of one projection.
    dead_letters: Vec<i64>,
    /// For each projection asked about events that it had to handle: of one at these times, of all at some
    /// sixty.
    behind: BTreeMap<String, Vec<i64>>,
}

/// The last hour
///
/// Kept by this host in memory, since it was started.
#[utoipa::path(
    get,
    path = "/overview/history",
    operation_id = "overviewHistory",
    tag = "operation",
    params(("projection" = Option<String>, Query, description = "Of this projection alone")),
    responses((status = 200, description = "The last hour", body = HistoryBody), ReadProblems),
)]
pub(super) async fn history(
    State(api): State<Api>,
    _: Operator,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["projection"])?;
    let projection = params.one("projection")?;
    check_given("projection", projection)?;
    let body = match projection {
        Some(name) => {
            let own = api.history.of(name);
            HistoryBody {
                at: own.at,
                appends: Vec::new(),
                events: Vec::new(),
                deliveries: own.rate,
                outbox: Vec::new(),
                lag_seconds: own.lag,
                dead_letters: Vec::new(),
                behind: [(name.to_owned(), own.behind)].into(),
            }
        }
        None => {
            let Lines { at, rates, outbox, oldest, dead_letters } = api.history.lines();
            HistoryBody {
                at,
                appends: rates.iter().map(|rates| rates.appends).collect(),
                events: rates.iter().map(|rates| rates.events).collect(),
                deliveries: rates.iter().map(|rates| rates.deliveries).collect(),
                outbox,
                lag_seconds: oldest,
                dead_letters,
                behind: api.history.behind().into_iter().collect(),
            }
        }
    };
    Ok(json(&body))
}

/// What the doctor has found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Examination)]
pub(super) struct ExaminationBody {
    /// There is nothing to do.
    healthy: bool,
    /// When it was looked; what was found is kept for some seconds.
    looked_at: DateTime<Utc>,
    /// What was found, the worst first.
    findings: Vec<FindingBody>,
}

/// Something that a check has found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Finding)]
struct FindingBody {
    /// The check.
    check: &'static str,
    /// `problem` (something does not work, or is at risk), `warning` (nothing is lost; it should be known) or
    /// `note` (it could be better).
    #[schema(value_type = String)]
    severity: Severity,
    /// Where: a projection, a table, a setting.
    place: String,
    /// What it is.
    what: String,
    /// What to do.
    advice: String,
}

/// Examine the host and its database
///
/// As `eventfabric doctor`: what is wrong, where, and what to do.
#[utoipa::path(
    get,
    path = "/doctor",
    operation_id = "examine",
    tag = "operation",
    responses((status = 200, description = "What was found", body = ExaminationBody), ReadProblems),
)]
pub(super) async fn doctor(
    State(api): State<Api>,
    _: Operator,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let mut last = api.examined.lock().await;
    let changes = *api.host.registry().changes().borrow();
    let fresh = last.take().filter(|it| it.changes == changes && it.begun.elapsed() < EXAMINE);
    let examined = match fresh {
        Some(examined) => examined,
        None => Examined {
            begun: Instant::now(),
            looked_at: Utc::now(),
            changes,
            checked: examine(&api.host.patient()).await,
        },
    };
    let Examined { looked_at, checked, .. } = last.insert(examined);
    let looked_at = *looked_at;
    let findings = checked.iter().flat_map(|checked| {
        checked.findings.iter().map(|finding| FindingBody {
            check: checked.check,
            severity: finding.severity,
            place: finding.place.clone(),
            what: finding.what.clone(),
            advice: finding.advice.clone(),
        })
    });
    let mut findings: Vec<FindingBody> = findings.collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let healthy = findings.iter().all(|finding| finding.severity == Severity::Note);
    Ok(json(&ExaminationBody { healthy, looked_at, findings }))
}
