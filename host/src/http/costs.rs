//! `GET /v1/projections/{name}/costs`, and the same among the metrics.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use metrics::{counter, gauge};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Name, Operator};
use super::metrics::GONE;
use super::params::Params;
use super::problem::Problem;
use super::projections::one;
use super::responses::{ReadProblems, json};
use super::state::Api;
use crate::plugin::{self, Cost, Costs, Registry, TypeCost};

/// What calls of a plugin have cost.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Cost)]
pub(super) struct CostBody {
    /// Events that were handled.
    events: u64,
    /// Calls of the plugin, each with a batch of events.
    calls: u64,
    /// Those of them that failed; what they took counts as well.
    failed_calls: u64,
    /// Microseconds in the plugin itself.
    wasm_us: u64,
    /// Microseconds that it waited for SQL.
    sql_us: u64,
    /// Statements that it ran.
    statements: u64,
    /// Rows that its queries returned.
    rows_read: u64,
    /// Rows that its statements wrote.
    rows_written: u64,
    /// Bytes of the payloads that it was given, and of the statements and parameters that it ran.
    bytes: u64,
}

/// What an event of a type costs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TypeCost)]
struct TypeCostBody {
    /// The type; `(other)` stands for all beyond some thirty.
    event_type: String,
    /// How many were handled.
    events: u64,
    /// It was never in a batch with events of another type: what follows is an average, and no estimate.
    exact: bool,
    /// Microseconds in the plugin itself.
    wasm_us: f64,
    /// By how much that may be wrong, 19 times out of 20.
    wasm_margin_us: f64,
    /// Microseconds of SQL.
    sql_us: f64,
    /// By how much that may be wrong, 19 times out of 20.
    sql_margin_us: f64,
    /// Statements.
    statements: f64,
    /// Rows that were read.
    rows_read: f64,
    /// Rows that were written.
    rows_written: f64,
    /// Bytes.
    bytes: f64,
}

/// What a projection costs the hosts that run its active version, or have run it within the last hour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProjectionCosts)]
struct CostsBody {
    /// The projection.
    projection: String,
    /// The SHA-256 of its active version, in hex.
    version: String,
    /// How many hosts that is.
    hosts: u64,
    /// When one of them was heard last; hosts tell every ten seconds what has changed. Null where none has
    /// handled anything.
    noted_at: Option<DateTime<Utc>>,
    /// All calls together, since each host began with the version.
    total: CostBody,
    /// What an event costs, by type, those first that took most of the time.
    types: Vec<TypeCostBody>,
}

impl From<Cost> for CostBody {
    fn from(cost: Cost) -> Self {
        Self {
            events: cost.events,
            calls: cost.calls,
            failed_calls: cost.failed_calls,
            wasm_us: cost.wasm_us,
            sql_us: cost.sql_us,
            statements: cost.statements,
            rows_read: cost.rows_read,
            rows_written: cost.rows_written,
            bytes: cost.bytes,
        }
    }
}

impl From<TypeCost> for TypeCostBody {
    fn from(cost: TypeCost) -> Self {
        Self {
            event_type: cost.event_type,
            events: cost.events,
            exact: cost.exact,
            wasm_us: cost.wasm_us,
            wasm_margin_us: cost.wasm_margin_us,
            sql_us: cost.sql_us,
            sql_margin_us: cost.sql_margin_us,
            statements: cost.statements,
            rows_read: cost.rows_read,
            rows_written: cost.rows_written,
            bytes: cost.bytes,
        }
    }
}

/// What a projection costs
///
/// All together, which is counted, and by type of event, which is an estimate where batches hold several types.
#[utoipa::path(
    get,
    path = "/projections/{name}/costs",
    operation_id = "getProjectionCosts",
    tag = "operation",
    params(("name" = String, Path, description = "The projection", min_length = 1, max_length = 512)),
    responses((status = 200, description = "What it costs", body = CostsBody), ReadProblems),
)]
pub(super) async fn get(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let found = plugin::costs(api.host.store().pool(), Some(&name)).await;
    let found = found.map_err(|error| Problem::of_database(&error))?.pop();
    Ok(json(&match found {
        Some(found) => CostsBody {
            projection: found.projection,
            version: found.version,
            hosts: found.hosts,
            noted_at: Some(found.noted_at),
            total: found.cost.into(),
            types: found.types.into_iter().map(Into::into).collect(),
        },
        None => CostsBody {
            version: one(&api, &name).await?.version().to_owned(),
            projection: name,
            hosts: 0,
            noted_at: None,
            total: CostBody::default(),
            types: Vec::new(),
        },
    }))
}

/// Counts for Prometheus what projections have cost this process.
pub(super) fn count(costs: &Costs) {
    for (name, meter) in costs.all() {
        let cost = meter.cost_so_far();
        for (metric, value) in [
            ("eventfabric_projection_events_total", cost.events),
            ("eventfabric_projection_calls_total", cost.calls),
            ("eventfabric_projection_failed_calls_total", cost.failed_calls),
            ("eventfabric_projection_wasm_microseconds_total", cost.wasm_us),
            ("eventfabric_projection_sql_microseconds_total", cost.sql_us),
            ("eventfabric_projection_statements_total", cost.statements),
            ("eventfabric_projection_rows_read_total", cost.rows_read),
            ("eventfabric_projection_rows_written_total", cost.rows_written),
            ("eventfabric_projection_bytes_total", cost.bytes),
        ] {
            counter!(metric, "projection" => name.clone()).absolute(value);
        }
    }
}

/// Pairs of projection and type of events that have gauges of costs; further ones are left out.
const TYPES: usize = 1000;

/// The gauges of what events cost, by type. Remembers which are shown, so that what is gone vanishes.
#[derive(Debug, Default)]
pub(super) struct ByType(BTreeSet<(String, String)>);

impl ByType {
    /// What events cost this host, of those projections that the database knows.
    pub(super) fn show(&mut self, registry: &Registry) {
        let mut gone = self.0.clone();
        let snapshot = registry.snapshot();
        let all = registry.costs().all().into_iter();
        for (name, meter) in all.filter(|(name, _)| snapshot.registered.contains_key(name)) {
            for cost in meter.types() {
                let pair = (name.clone(), cost.event_type);
                gone.remove(&pair);
                if self.0.len() < TYPES || self.0.contains(&pair) {
                    set(&pair, cost.wasm_us, cost.sql_us);
                    self.0.insert(pair);
                }
            }
        }
        for pair in gone {
            set(&pair, GONE, GONE);
            self.0.remove(&pair);
        }
    }
}

fn set((projection, event_type): &(String, String), wasm_us: f64, sql_us: f64) {
    for (metric, micros) in [
        ("eventfabric_projection_event_wasm_seconds", wasm_us),
        ("eventfabric_projection_event_sql_seconds", sql_us),
    ] {
        gauge!(metric, "projection" => projection.clone(), "type" => event_type.clone())
            .set(micros / 1e6);
    }
}
