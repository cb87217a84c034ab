//! Tenants that have a database of their own: which they are, whether this host serves them, and how they
//! stand. `GET /v1/tenants`

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use metrics::gauge;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::PAGE;
use super::extract::Operator;
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{ReadProblems, json};
use super::state::Api;
use crate::event::TenantId;
use crate::runner::TenantState;
use crate::tenancy::Directory;

/// How the tenants of a fleet stand.
type States = BTreeMap<TenantId, TenantState>;

/// How often the directory is read by a host that does not serve its tenants.
const FOLLOW: Duration = Duration::from_secs(5);

/// What the API knows of tenants that have a database of their own.
#[derive(Default)]
pub(super) struct Apart {
    directory: OnceLock<Directory>,
    /// The tenants of the directory, where this host does not serve them; none before it was read.
    listed: RwLock<Option<BTreeSet<String>>>,
    /// How those stand that this host runs.
    states: OnceLock<watch::Receiver<States>>,
}

impl Apart {
    /// The directory, where it is more than the table in the host's database.
    pub(super) fn set_directory(&self, directory: Directory) {
        // The first one stays.
        let _ = self.directory.set(directory);
    }

    /// Shows how the tenants stand that this host runs.
    pub(super) fn set_states(&self, states: watch::Receiver<States>) {
        let _ = self.states.set(states);
    }

    /// Refuses a tenant that has a database of its own, for this host serves none of those: taken for one
    /// that shares the host's database, it would be empty, and its appends would be lost to it.
    pub(super) fn refuse(&self, tenant: &str) -> Result<(), Problem> {
        match &*self.listed.read().unwrap_or_else(PoisonError::into_inner) {
            Some(listed) if listed.contains(tenant) => Err(Problem::new(
                Code::TenantNotServed,
                "the tenant has a database of its own, and this host does not serve those (it does \
                 when it is run with --all-tenants)",
            )),
            Some(_) => Ok(()),
            None => Err(Problem::new(
                Code::DatabaseUnavailable,
                "it is not known yet which tenants have a database of their own",
            )),
        }
    }

    /// Reads the directory once more.
    async fn look(&self, api: &Api) {
        let table = || Directory::default().with_table(api.host.store().pool().clone());
        match self.directory.get_or_init(table).list().await {
            Ok(entries) => {
                let names = entries.into_iter().map(|entry| entry.tenant.as_str().to_owned());
                let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
                *listed = Some(names.collect());
            }
            Err(error) => tracing::warn!(%error, "the tenants that are known stay refused"),
        }
    }

    /// How many tenants of how many do not run, where some do not.
    pub(super) fn reason(&self) -> Option<String> {
        let states = self.states.get()?.borrow();
        let waiting = states.values().filter(|state| **state != TenantState::Running).count();
        (waiting > 0).then(|| {
            let all = states.len();
            format!(
                "{waiting} of {all} tenants with a database of their own do not run: /v1/tenants"
            )
        })
    }

    /// The tenants after a name, one more than `limit` where there are more.
    fn after(&self, after: &str, limit: usize) -> Vec<TenantBody> {
        let most = limit.saturating_add(1);
        if let Some(states) = self.states.get() {
            let states = states.borrow();
            let later = states.iter().filter(|(tenant, _)| tenant.as_str() > after);
            let bodies = later.map(|(tenant, state)| TenantBody {
                tenant: tenant.as_str().to_owned(),
                state: name_of(state),
                reason: match state {
                    TenantState::Waiting { reason, .. } => Some(reason.clone()),
                    _ => None,
                },
            });
            return bodies.take(most).collect();
        }
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        let later = listed
            .iter()
            .flat_map(|listed| listed.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)));
        let body = |tenant: &String| TenantBody {
            tenant: tenant.clone(),
            state: "not-served",
            reason: None,
        };
        later.take(most).map(body).collect()
    }
}

/// Follows the directory until the host stops.
pub(super) async fn follow(api: Api) {
    loop {
        let turn = async {
            tokio::time::sleep(FOLLOW).await;
            api.apart.look(&api).await;
        };
        tokio::select! {
            () = api.stop.cancelled() => return,
            () = turn => {}
        }
    }
}

/// Reads the directory before the first request, if it can be read soon.
pub(super) async fn start(api: &Api) {
    if tokio::time::timeout(FOLLOW, api.apart.look(api)).await.is_err() {
        tracing::warn!(
            "the directory of tenants cannot be read; requests are answered when it can"
        );
    }
}

/// How many tenants stand how.
pub(super) fn count(api: &Api) {
    let Some(states) = api.apart.states.get() else { return };
    let states = states.borrow();
    for name in ["starting", "running", "waiting"] {
        let n = states.values().filter(|state| name_of(state) == name).count();
        gauge!("eventfabric_tenants", "state" => name).set(n as f64);
    }
}

fn name_of(state: &TenantState) -> &'static str {
    match state {
        TenantState::Starting => "starting",
        TenantState::Running => "running",
        TenantState::Waiting { .. } => "waiting",
    }
}

/// A tenant with a database of its own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(super) struct TenantBody {
    /// The tenant.
    tenant: String,
    /// `starting`, `running` or `waiting`; `not-served` where this host serves no such tenants.
    state: &'static str,
    /// Why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// Tenants, by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenants)]
pub(super) struct TenantsBody {
    tenants: Vec<TenantBody>,
    /// Where the next page is; null after the last one.
    next: Option<String>,
}

/// How the tenants stand that have a database of their own
///
/// Those of this host's directory, as this host sees them.
#[utoipa::path(
    get,
    path = "/tenants",
    operation_id = "listTenants",
    tag = "operation",
    params(
        ("after" = Option<String>, Query, description = "Only those after this name",
            max_length = 512),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000,
            description = "Tenants, at most [default: 100]"),
    ),
    responses((status = 200, description = "A page of tenants", body = TenantsBody), ReadProblems),
)]
pub(super) async fn list(
    State(api): State<Api>,
    _: Operator,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["after", "limit"])?;
    let limit = params.number("limit", 1, api.limits.page)?.unwrap_or(PAGE.min(api.limits.page));
    let after = params.one("after")?.unwrap_or_default();
    let mut tenants = api.apart.after(after, usize::try_from(limit).unwrap_or(usize::MAX));
    let more = tenants.len() as i64 > limit;
    tenants.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = tenants.last().filter(|_| more).map(|last| last.tenant.as_str());
    let next = last.map(|last| {
        let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
        format!("/v1/tenants?after={last}&limit={limit}")
    });
    Ok(json(&TenantsBody { tenants, next }))
}
