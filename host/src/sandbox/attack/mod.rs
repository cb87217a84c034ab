//! Attacks on the sandbox, as data, and what tries them: tests with each wall alone, and
//! `eventfabric doctor --attack` on an operator's own database.
//!
//! Each attack is tried in a transaction of its own that is rolled back, on two plugins that exist
//! in it alone.

mod attempt;
mod exhaustion;
mod grants;
mod identity;
mod migrations;
mod reading;
mod trickery;
mod writing;

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;

use super::SandboxConfig;
use super::error::SandboxError;

#[cfg(test)]
pub(crate) use attempt::{Session, control};

/// How long an attack may run: what the host's deadline is to a plugin.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for those that would run for ever.
const SHORT: Duration = Duration::from_millis(200);

/// What an attack is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// To be somebody else, to end or to outlive the transaction.
    Identity,
    /// To see what is not the plugin's.
    Reading,
    /// To change what is not the plugin's.
    Writing,
    /// To do more with what is granted than to use it.
    Grants,
    /// To leave something behind by a migration.
    Migrations,
    /// To use up what others need.
    Exhaustion,
    /// To be taken for something harmless.
    Trickery,
}

impl Group {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Identity,
        Self::Reading,
        Self::Writing,
        Self::Grants,
        Self::Migrations,
        Self::Exhaustion,
        Self::Trickery,
    ];

    /// Its title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Identity => "Identity and transaction",
            Self::Reading => "Reading",
            Self::Writing => "Writing",
            Self::Grants => "Grants",
            Self::Migrations => "Migrations",
            Self::Exhaustion => "Exhaustion",
            Self::Trickery => "Trickery",
        }
    }
}

/// What an attack sends. In a text `{own}` and `{other}` stand for the schemas of the attacker and of
/// its neighbour, `{lent}` for the one of which the attacker is granted something, `{host}` for the host's role, `{exec}` for the role of the attacker's statements.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Statement(&'static str),
    /// A text too long to be written down.
    Grown(fn() -> String),
    Migration(&'static str),
    GrownMigration(fn() -> String),
}

/// One attack.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// What it does, in a few words; no two have the same.
    pub name: &'static str,
    deed: Deed,
    /// Why the first wall alone cannot stop it, where it cannot.
    pub passes_one: Option<&'static str>,
    /// The same of the second wall.
    pub passes_two: Option<&'static str>,
    patience: Duration,
    /// It may reach beyond the transaction in which it is tried.
    leaves: bool,
    /// Why the server refuses it even to a superuser, where it does: then it is no proof of a wall.
    pub vain: Option<&'static str>,
}

const fn statement(name: &'static str, sql: &'static str) -> Attack {
    Attack::new(name, Deed::Statement(sql))
}

const fn grown(name: &'static str, text: fn() -> String) -> Attack {
    Attack::new(name, Deed::Grown(text))
}

const fn migration(name: &'static str, sql: &'static str) -> Attack {
    Attack::new(name, Deed::Migration(sql))
}

const fn grown_migration(name: &'static str, text: fn() -> String) -> Attack {
    Attack::new(name, Deed::GrownMigration(text))
}

impl Attack {
    const fn new(name: &'static str, deed: Deed) -> Self {
        Self {
            name,
            deed,
            passes_one: None,
            passes_two: None,
            vain: None,
            patience: PATIENCE,
            leaves: false,
        }
    }

    const fn one_cannot(mut self, reason: &'static str) -> Self {
        self.passes_one = Some(reason);
        self
    }

    const fn two_cannot(mut self, reason: &'static str) -> Self {
        self.passes_two = Some(reason);
        self
    }

    const fn in_vain(mut self, reason: &'static str) -> Self {
        self.vain = Some(reason);
        self
    }

    const fn endless(mut self) -> Self {
        self.patience = SHORT;
        self
    }

    const fn leaves(mut self) -> Self {
        self.leaves = true;
        self
    }

    /// Whether it comes in a migration, and not in a statement.
    #[must_use]
    pub fn migrates(&self) -> bool {
        matches!(self.deed, Deed::Migration(_) | Deed::GrownMigration(_))
    }
}

/// All attacks of a group.
#[must_use]
pub fn attacks(group: Group) -> &'static [Attack] {
    match group {
        Group::Identity => identity::ATTACKS,
        Group::Reading => reading::ATTACKS,
        Group::Writing => writing::ATTACKS,
        Group::Grants => grants::ATTACKS,
        Group::Migrations => migrations::ATTACKS,
        Group::Exhaustion => exhaustion::ATTACKS,
        Group::Trickery => trickery::ATTACKS,
    }
}

/// Which walls stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walls {
    Both,
    /// What is let through runs as the host.
    #[cfg(test)]
    OneOnly,
    /// Any text runs, as the plugin's role.
    #[cfg(test)]
    TwoOnly,
}

/// What stopped an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The judgement of what a statement is, or of what a migration left behind.
    WallOne,
    /// The rights of the role.
    WallTwo,
    /// A limit on time, size or number.
    Limit,
    /// PostgreSQL takes it from nobody.
    Server,
}

/// How an attack ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which attack.
    pub attack: &'static Attack,
    /// What stopped it; none when nothing did.
    pub stopped: Option<Stop>,
    /// The answer that the attacker got.
    pub answer: String,
    /// How long it took.
    pub took: Duration,
}

/// Tries all attacks of a group with both walls up, and changes nothing.
///
/// # Errors
/// The ground for an attack could not be prepared: the database is away or read-only, is not
/// migrated, or lacks a right that a host needs.
pub async fn run(
    options: &PgConnectOptions,
    config: &SandboxConfig,
    group: Group,
) -> Result<Vec<Outcome>, SandboxError> {
    run_with(options, config, group, Walls::Both).await
}

pub(crate) async fn run_with(
    options: &PgConnectOptions,
    config: &SandboxConfig,
    group: Group,
    walls: Walls,
) -> Result<Vec<Outcome>, SandboxError> {
    let mut session = attempt::Session::new(options, config);
    let mut outcomes = Vec::new();
    for attack in attacks(group) {
        let begun = Instant::now();
        let (stopped, answer) = session.attempt(walls, attack).await?;
        outcomes.push(Outcome { attack, stopped, answer, took: begun.elapsed() });
    }
    session.close().await;
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_attacks_have_one_name() {
        let mut names: Vec<_> =
            Group::ALL.iter().flat_map(|group| attacks(*group)).map(|a| a.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
