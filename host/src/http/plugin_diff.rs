//! `POST /v1/plugins/{name}/diff`: what two versions of a plugin make of the same events.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Json, Name, Operator, check_given};
use super::plugin_changes::refused;
use super::problem::{Code, Problem};
use super::responses::{ChangeProblems, json};
use super::state::Api;
use crate::runner::{self, Diff, Difference, OnlyIn};

/// Events that both versions are given where two are compared, at most.
const MOST: i64 = 10_000;

/// What to compare.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DiffRequest)]
pub(super) struct DiffRequest {
    /// The first digits of a version.
    #[schema(max_length = 64)]
    old: String,
    /// Those of another one.
    #[schema(max_length = 64)]
    new: String,
    /// Have both handle the last so many events of their types [default: as many as a deploy tries].
    #[schema(minimum = 1, maximum = 10_000, nullable = false)]
    events: Option<i64>,
}

/// What only one of two versions has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OnlyIn)]
struct OnlyInBody {
    /// The old one.
    old: Vec<String>,
    /// The new one.
    new: Vec<String>,
}

/// A part of the description that is not the same.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedText)]
struct ChangedBody {
    /// Which part.
    what: &'static str,
    /// What the old version says.
    old: String,
    /// What the new one says.
    new: String,
}

/// A table that two versions left with different rows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TableDifference)]
struct TableBody {
    /// Its name.
    table: String,
    /// Rows that only the old version made, the first few of them.
    only_in_old: Vec<String>,
    /// Rows that only the new one made, the first few of them.
    only_in_new: Vec<String>,
}

/// What two versions of a plugin have in common, and what not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginDiff)]
pub(super) struct DiffBody {
    /// The SHA-256 of the old version, in hex.
    old: String,
    /// That of the new one.
    new: String,
    /// What they say of themselves, where that is not the same.
    description: Vec<ChangedBody>,
    /// Imports that only one of them has.
    imports: OnlyInBody,
    /// The SQL of migrations that only one of them has.
    migrations: OnlyInBody,
    /// Statements that only one of them used for these events.
    statements: OnlyInBody,
    /// How many events both were given.
    events: usize,
    /// The tables that they left with different rows.
    tables: Vec<TableBody>,
}

impl From<OnlyIn> for OnlyInBody {
    fn from(OnlyIn { old, new }: OnlyIn) -> Self {
        Self { old, new }
    }
}

impl From<Difference> for TableBody {
    fn from(Difference { table, only_in_first, only_in_second }: Difference) -> Self {
        Self { table, only_in_old: only_in_first, only_in_new: only_in_second }
    }
}

impl From<Diff> for DiffBody {
    fn from(diff: Diff) -> Self {
        let changed = |(what, old, new)| ChangedBody { what, old, new };
        Self {
            old: diff.old,
            new: diff.new,
            description: diff.description.into_iter().map(changed).collect(),
            imports: diff.imports.into(),
            migrations: diff.migrations.into(),
            statements: diff.statements.into(),
            events: diff.events,
            tables: diff.tables.into_iter().map(Into::into).collect(),
        }
    }
}

/// Compare two versions of a plugin
///
/// As `eventfabric plugin diff`: both handle the last events in tables of their own, which go again. Nothing
/// that is served changes, and nothing is sent.
#[utoipa::path(
    post,
    path = "/plugins/{name}/diff",
    operation_id = "diffPluginVersions",
    tag = "operation",
    params(("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512)),
    request_body = DiffRequest,
    responses((status = 200, description = "What differs", body = DiffBody), ChangeProblems),
)]
pub(super) async fn diff(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    Json(body): Json<DiffRequest>,
) -> Result<Response, Problem> {
    check_given("old", Some(&body.old))?;
    check_given("new", Some(&body.new))?;
    let events = body.events.unwrap_or_else(|| api.host.canary().events.clamp(1, MOST));
    if !(1..=MOST).contains(&events) {
        return Err(Problem::new(Code::InvalidBody, format!("events: from 1 to {MOST}")));
    }
    let Ok(permit) = api.readings.clone().try_acquire_owned() else {
        return Err(Problem::new(
            Code::Overloaded,
            "as many comparisons and queries of operators as a host takes are being answered",
        ));
    };
    let host = api.host.clone();
    // Its tables go again, also where the client goes away.
    let work = api.tasks.spawn(async move {
        let _permit = permit;
        runner::diff_versions(host.registry(), &name, &body.old, &body.new, events).await
    });
    let diff = work.await.map_err(|error| Problem::internal(&error))?;
    Ok(json(&DiffBody::from(diff.map_err(|error| refused(&error))?)))
}
