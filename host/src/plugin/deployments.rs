//! What became of the versions of a plugin: kept in the database, for all hosts and for whoever asks.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgExecutor, PgPool};

use super::ranges::{Range, ranges};
use crate::projection::Description;

/// How a version came to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Somebody, or a folder, handed it in.
    Deploy,
    /// Somebody went back to it.
    Rollback,
    /// A host went back to it, because the version that had taken its place failed.
    Fallback,
    /// It was the last one when the plugin was removed.
    Remove,
    /// Somebody dropped the tables that were kept of the version before it.
    Retire,
    /// Somebody changed a setting while it was active.
    Config,
}

impl Action {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Fallback => "fallback",
            Self::Remove => "remove",
            Self::Retire => "retire",
            Self::Config => "config",
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "rollback" => Self::Rollback,
            "fallback" => Self::Fallback,
            "remove" => Self::Remove,
            "retire" => Self::Retire,
            "config" => Self::Config,
            _ => Self::Deploy,
        }
    }
}

/// Who hands in a version, from where and why.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// How it came.
    pub action: Action,
    /// Who.
    pub by: &'a str,
    /// A file, a folder, another version.
    pub source: &'a str,
    /// Of a fallback: how the version failed that is replaced.
    pub reason: Option<&'a str>,
}

/// What became of a version that was handed in.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// Who handed it in.
    pub origin: &'a Origin<'a>,
    /// The version that was active until then.
    pub replaced: Option<&'a str>,
    /// Events that went well on trial.
    pub tried: usize,
    /// How the trial went.
    pub trial: Option<&'a serde_json::Value>,
    /// It came with tables of its own.
    pub rebuilt: bool,
    /// Why it did not become active.
    pub error: Option<&'a str>,
}

/// What became of a version once.
#[derive(Debug, Clone, Serialize)]
pub struct Deployment {
    /// Counts all of them.
    pub id: i64,
    /// The SHA-256 of the version, in hex.
    pub version: String,
    /// How it came.
    pub action: Action,
    /// The version that was active until then.
    pub replaced: Option<String>,
    /// Events that went well on trial.
    pub tried: i64,
    /// How the trial went, beside the version that was active.
    pub trial: Option<serde_json::Value>,
    /// It came with tables of its own.
    pub rebuilt: bool,
    /// Of a deploy and a rollback: why it did not become active. Of a fallback: how the version failed
    /// that it replaced.
    pub error: Option<String>,
    /// The greatest position of the log at that time.
    pub log_position: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub by: Option<String>,
    /// From where.
    pub source: Option<String>,
}

impl Deployment {
    /// Whether the version became the active one.
    pub fn activated(&self) -> bool {
        match self.action {
            Action::Deploy | Action::Rollback => self.error.is_none(),
            Action::Fallback => true,
            Action::Remove | Action::Retire | Action::Config => false,
        }
    }
}

/// Where a version is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionState {
    /// The hosts run it.
    Active,
    /// It is the active one, and has stopped at an error.
    Failing,
    /// A host went back from it to the one before, because it failed.
    RolledBack,
    /// It becomes active when its projection comes to a position.
    Waiting,
    /// Another one took its place.
    Retired,
}

impl VersionState {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Failing => "failing",
            Self::RolledBack => "rolled back",
            Self::Waiting => "waiting",
            Self::Retired => "retired",
        }
    }
}

/// A version that was active, or is.
#[derive(Debug, Clone, Serialize)]
pub struct KnownVersion {
    /// Its SHA-256, in hex.
    pub version: String,
    /// Where it is in its life.
    pub state: VersionState,
    /// The size of the component.
    pub bytes: i64,
    /// What it says of itself.
    pub description: Option<Description>,
    /// What it imports.
    pub imports: Vec<String>,
    /// When it first became active.
    pub deployed_at: DateTime<Utc>,
    /// Who did that.
    pub deployed_by: Option<String>,
    /// From where.
    pub source: Option<String>,
    /// How it failed, where it did.
    pub error: Option<String>,
    /// Catch-up: what it has handled of what the tables hold.
    pub handled: Vec<Range>,
}

/// Notes what became of a version.
pub(super) async fn note(
    executor: impl PgExecutor<'_>,
    plugin: &str,
    version: &str,
    outcome: &Outcome<'_>,
) -> sqlx::Result<()> {
    let Outcome { origin, replaced, tried, trial, rebuilt, error } = *outcome;
    sqlx::query_file!(
        "src/plugin/sql/deployment_note.sql",
        plugin,
        version,
        origin.action.as_str(),
        replaced,
        tried as i64,
        error.or(origin.reason),
        origin.by,
        origin.source,
        trial,
        rebuilt,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Notes that the tables were dropped that were kept, and forgets them. Answers whether there is such a
/// projection.
pub async fn retire(pool: &PgPool, name: &str, by: &str) -> sqlx::Result<bool> {
    let noted =
        sqlx::query_file!("src/plugin/sql/retire.sql", name, by).fetch_optional(pool).await?;
    Ok(noted.is_some())
}

/// What became of the versions of a plugin, the newest first.
pub async fn deployments(
    executor: impl PgExecutor<'_>,
    plugin: &str,
    limit: i64,
) -> sqlx::Result<Vec<Deployment>> {
    let rows = sqlx::query_file!("src/plugin/sql/deployments.sql", plugin, limit)
        .fetch_all(executor)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Deployment {
            id: row.id,
            version: row.version,
            action: Action::of(&row.action),
            replaced: row.replaced,
            tried: row.tried,
            trial: row.trial,
            rebuilt: row.rebuilt,
            error: row.error,
            log_position: row.log_position,
            at: row.at,
            by: row.by,
            source: row.source,
        })
        .collect())
}

/// The versions of a plugin that were active or are, the one that came last first.
pub async fn versions(pool: &PgPool, plugin: &str) -> sqlx::Result<Vec<KnownVersion>> {
    let rows = sqlx::query_file!("src/plugin/sql/versions.sql", plugin).fetch_all(pool).await?;
    let mut ranges = ranges(pool, plugin).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let state = match (row.active, row.state.as_deref(), &row.fell) {
                (true, Some("failed"), _) => VersionState::Failing,
                (true, ..) => VersionState::Active,
                (false, ..) if row.waiting => VersionState::Waiting,
                (false, _, Some(_)) => VersionState::RolledBack,
                (false, _, None) => VersionState::Retired,
            };
            let handled = ranges.extract_if(.., |range| range.version == row.version).collect();
            KnownVersion {
                handled,
                version: row.version,
                state,
                bytes: row.bytes,
                description: serde_json::from_value(row.description).ok(),
                imports: row.imports,
                deployed_at: row.deployed_at,
                deployed_by: row.deployed_by,
                source: row.source,
                error: match state {
                    VersionState::Failing => row.last_error,
                    VersionState::RolledBack => row.fell,
                    _ => None,
                },
            }
        })
        .collect())
}

/// Takes a projection out of the registry, so that no host runs it any more. Its versions stay, and with them
/// the way back; so do its tables. With `forget` nobody knows how far it had come, and what waited for it or
/// had failed is gone. Answers whether there was one.
pub async fn remove(pool: &PgPool, name: &str, by: &str, forget: bool) -> sqlx::Result<bool> {
    let mut tx = pool.begin().await?;
    let gone =
        sqlx::query_file!("src/plugin/sql/remove.sql", name, by).fetch_optional(&mut *tx).await?;
    if forget {
        sqlx::query_file!("src/plugin/sql/forget.sql", name).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(gone.is_some())
}
