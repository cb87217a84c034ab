//! What an operator should know before users tell: a list of checks, each of which looks at one thing
//! and says of what it finds what it is, where, and what to do.

mod delivery;
mod machine;
mod own;
mod roles;
mod server;
mod tables;

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use sqlx::PgPool;

use super::host::{Host, HostConfig};

/// What is looked at.
pub struct Patient {
    /// A migrated database, or one that is to be.
    pub pool: PgPool,
    /// Connections that each host may open.
    pub connections: u32,
    /// What has work and does none of it for so long stands still.
    pub stall: Duration,
    /// A transaction that is open for longer is told of.
    pub open: Duration,
    /// After this time the claim of another program's worker counts as dead.
    pub foreign_lease: Duration,
    /// The settings of the host.
    pub config: HostConfig,
    /// Where the data of a private server are.
    pub private: Option<PathBuf>,
    /// Bytes that must be free on a disk.
    pub least_free: u64,
    /// Bytes of WAL that the server may keep for a replication slot.
    pub kept: i64,
    /// Look into the components of the active versions, which may be large. A host that runs them need not.
    pub components: bool,
}

/// As little room as this is soon used up.
const LEAST_FREE: u64 = 512 * 1024 * 1024;

/// A reader that is behind by more will not come soon.
const KEPT: i64 = 1024 * 1024 * 1024;

/// A transaction that is open for longer holds up the safe head or vacuum.
pub const OPEN: Duration = Duration::from_secs(300);

impl Host {
    /// This host's database, to be looked at.
    pub fn patient(&self) -> Patient {
        Patient {
            components: false,
            ..Patient::new(self.store.pool().clone(), self.config.clone())
        }
    }
}

impl Patient {
    /// A database, and the settings of a host that works on it or is to.
    pub fn new(pool: PgPool, config: HostConfig) -> Self {
        Self {
            pool,
            connections: config.connections(),
            stall: config.runner.stall,
            open: OPEN,
            foreign_lease: config.runner.r#async.foreign_lease,
            config,
            private: None,
            least_free: LEAST_FREE,
            kept: KEPT,
            components: true,
        }
    }
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing is wrong; it could be better.
    Note,
    /// Nothing is lost and everything moves; it should be known.
    Warning,
    /// Something does not work, or is at risk.
    Problem,
}

/// Something that a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Where: a projection, a table, a setting.
    pub place: String,
    /// What it is.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Finding {
    fn problem(
        place: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let severity = Severity::Problem;
        Self { severity, place: place.into(), what: what.into(), advice: advice.into() }
    }

    fn note(place: impl Into<String>, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::problem(place, what, advice) }
    }

    fn warning(
        place: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let severity = Severity::Warning;
        Self { severity, ..Self::problem(place, what, advice) }
    }
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its name.
    pub check: &'static str,
    /// What it has found.
    pub findings: Vec<Finding>,
}

type Found = anyhow::Result<Vec<Finding>>;

/// Looks at one thing.
type Check = for<'a> fn(&'a Patient) -> BoxFuture<'a, Found>;

/// The checks that need no tables of ours, and then those that do.
const ANYWHERE: &[(&str, Check)] = &[
    ("host settings", |patient| Box::pin(own::settings(patient))),
    ("server", |patient| Box::pin(server::kind(patient))),
    ("settings", |patient| Box::pin(server::settings(patient))),
    ("clock", |patient| Box::pin(server::clock(patient))),
    ("disk", |patient| Box::pin(machine::disk(patient))),
    ("rights", |patient| Box::pin(server::rights(patient))),
    ("migrations", |patient| Box::pin(server::migrations(patient))),
];

const MIGRATED: &[(&str, Check)] = &[
    ("versions", |patient| Box::pin(own::versions(patient))),
    ("names", |patient| Box::pin(own::names(patient))),
    ("roles", |patient| Box::pin(roles::roles(patient))),
    ("projections", |patient| Box::pin(delivery::projections(patient))),
    ("stalls", |patient| Box::pin(delivery::stalls(patient))),
    ("outbox", |patient| Box::pin(delivery::outbox(patient))),
    ("retries", |patient| Box::pin(delivery::retries(patient))),
    ("dead letters", |patient| Box::pin(delivery::dead_letters(patient))),
    ("transactions", |patient| Box::pin(tables::transactions(patient))),
    ("tables", |patient| Box::pin(tables::sizes(patient))),
];

/// Makes all checks. One that fails is a finding.
pub async fn examine(patient: &Patient) -> Vec<Checked> {
    let mut made = make(patient, ANYWHERE).await;
    // The others would only say in their own words that tables are missing.
    let migrated =
        made.iter().all(|checked| checked.check != "migrations" || checked.findings.is_empty());
    if migrated {
        made.extend(make(patient, MIGRATED).await);
    }
    made
}

async fn make(patient: &Patient, checks: &[(&'static str, Check)]) -> Vec<Checked> {
    let mut made = Vec::new();
    for (check, look) in checks {
        let findings = look(patient).await.unwrap_or_else(|error| {
            let what = format!("it could not be looked at: {error:#}");
            vec![Finding::problem(*check, what, "mend this first, and look again")]
        });
        made.push(Checked { check, findings });
    }
    made
}
