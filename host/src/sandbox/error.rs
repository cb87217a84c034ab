//! Why a statement, a batch or a migration failed.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::code::codes;
use crate::db;

/// What a plugin can do about an error (`sql-error-kind` in `wit/projection.wit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SqlErrorKind {
    /// Serialization failure, deadlock, lock or statement time-out.
    Retryable,
    /// A constraint or the data itself.
    Constraint,
    /// The sandbox or PostgreSQL's rights do not allow it.
    Denied,
    /// The statement is wrong, or a parameter does not fit.
    Invalid,
    /// A limit of the sandbox was reached.
    Limit,
    /// An earlier statement of the transaction failed.
    Aborted,
    /// The connection was lost.
    Connection,
}

/// Why a statement failed. The transaction can only be rolled back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{message}{}", self.tail())]
pub struct SqlError {
    /// What can be done about it.
    pub kind: SqlErrorKind,
    /// Five characters; empty where the error is the host's own.
    pub sqlstate: String,
    /// What happened.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The constraint that was violated.
    pub constraint: Option<String>,
    /// The table concerned.
    pub table: Option<String>,
    /// The column concerned.
    pub column: Option<String>,
    /// The place in the plugin's text, in characters from 1.
    pub position: Option<u32>,
}

codes!(SqlError {
    Self { kind: SqlErrorKind::Retryable, .. } => "sql-retryable",
    Self { kind: SqlErrorKind::Constraint, .. } => "sql-constraint",
    Self { kind: SqlErrorKind::Denied, .. } => "sql-denied",
    Self { kind: SqlErrorKind::Invalid, .. } => "sql-invalid",
    Self { kind: SqlErrorKind::Limit, .. } => "sql-limit",
    Self { kind: SqlErrorKind::Aborted, .. } => "sql-aborted",
    Self { kind: SqlErrorKind::Connection, .. } => "sql-connection",
});

impl SqlError {
    /// An error that the host found itself.
    pub fn new(kind: SqlErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            sqlstate: String::new(),
            message: message.into(),
            detail: None,
            hint: None,
            constraint: None,
            table: None,
            column: None,
            position: None,
        }
    }

    /// The same error with what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the server denied it, so that a new session is worth a try (see [`db::is_denied`]).
    pub fn is_denied(&self) -> bool {
        self.sqlstate == db::DENIED
    }

    /// The error of a call in a transaction that failed before.
    pub(super) fn aborted() -> Self {
        Self::new(
            SqlErrorKind::Aborted,
            "an earlier statement of this transaction failed, so it can only be rolled back",
        )
        .with_hint("return a failure from `handle`")
    }

    fn tail(&self) -> String {
        let mut tail = String::new();
        if !self.sqlstate.is_empty() {
            tail.push_str(&format!(" (SQLSTATE {})", self.sqlstate));
        }
        if let Some(detail) = &self.detail {
            tail.push_str(&format!("; {detail}"));
        }
        if let Some(hint) = &self.hint {
            tail.push_str(&format!("; hint: {hint}"));
        }
        tail
    }
}

impl From<sqlx::Error> for SqlError {
    fn from(error: sqlx::Error) -> Self {
        let lost = db::is_connection_lost(&error);
        let Some(pg) =
            error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>())
        else {
            let kind = if lost { SqlErrorKind::Connection } else { SqlErrorKind::Invalid };
            return Self::new(kind, error.to_string());
        };
        Self {
            kind: if lost { SqlErrorKind::Connection } else { kind_of(pg.code()) },
            sqlstate: pg.code().to_owned(),
            message: pg.message().to_owned(),
            detail: pg.detail().map(str::to_owned),
            hint: pg.hint().map(str::to_owned),
            constraint: pg.constraint().map(str::to_owned),
            table: pg.table().map(str::to_owned),
            column: pg.column().map(str::to_owned),
            position: match pg.position() {
                Some(PgErrorPosition::Original(at)) => u32::try_from(at).ok(),
                _ => None,
            },
        }
    }
}

fn kind_of(sqlstate: &str) -> SqlErrorKind {
    match sqlstate {
        "40001" | "40P01" | "55P03" | "57014" => SqlErrorKind::Retryable,
        "42501" | "25006" => SqlErrorKind::Denied,
        "25P02" => SqlErrorKind::Aborted,
        _ => match sqlstate.get(..2) {
            // 21: a row met twice by ON CONFLICT or MERGE, a subquery with two rows. 44: WITH CHECK.
            Some("21" | "22" | "23" | "44") => SqlErrorKind::Constraint,
            // Out of memory, disk or connections: later there may be room.
            Some("53") => SqlErrorKind::Retryable,
            Some("54") => SqlErrorKind::Limit,
            _ => SqlErrorKind::Invalid,
        },
    }
}

/// The call of a batch that failed. None of the batch has an effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("call {call} of the batch: {error}")]
pub struct BatchError {
    /// Index into the list of calls, from 0.
    pub call: u32,
    /// Why it failed.
    pub error: SqlError,
}

/// Why a plugin could not be made ready, or an operator's query not be answered.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The name is not `[a-z][a-z0-9_]{0,47}`, or PostgreSQL or the host uses it.
    #[error("`{0}` cannot be the name of a projection: {1}")]
    Name(String, &'static str),
    /// A schema of that name exists, and the host did not make it.
    #[error(
        "schema \"{0}\" exists already and was not made for a plugin; it is left alone. Rename it, \
         or set a prefix for the schemas of plugins"
    )]
    ForeignSchema(String),
    /// The plugin was never made ready in this database.
    #[error("no plugin `{0}` is known in this database; deploy it first")]
    Unknown(String),
    /// The numbers of the migrations are not 1, 2, 3, …
    #[error(
        "the migrations of `{plugin}` must be numbered 1, 2, 3, … without holes; found {found} in place {expected}"
    )]
    Numbers {
        /// The plugin.
        plugin: String,
        /// The number that should stand there.
        expected: u32,
        /// The number that does.
        found: u32,
    },
    /// A migration that ran has another text now.
    #[error(
        "migration {number} ({name}) of `{plugin}` has changed since it was applied; give the change \
         a number of its own, or have the version make its tables anew from the log (--rebuild)"
    )]
    Changed {
        /// The plugin.
        plugin: String,
        /// The migration's number.
        number: u32,
        /// The migration's name.
        name: String,
    },
    /// The database has migrations that this version of the plugin does not know.
    #[error(
        "the tables of `{plugin}` are at migration {applied}, and this version of the plugin knows \
         {known}: it is older than its tables. Deploy a newer version, or have this one make its tables \
         anew from the log (--rebuild)"
    )]
    Ahead {
        /// The plugin.
        plugin: String,
        /// The last migration that was applied.
        applied: u32,
        /// The last migration that the plugin has.
        known: u32,
    },
    /// A migration does what it must not, or PostgreSQL refused it. Nothing of it was kept.
    #[error("migration {number} ({name}) of `{plugin}`{}: {reason}", at(.statement))]
    Migration {
        /// The plugin.
        plugin: String,
        /// The migration's number.
        number: u32,
        /// The migration's name.
        name: String,
        /// The statement to blame, where there is one.
        statement: Option<String>,
        /// Why.
        reason: String,
    },
    /// The tables can't be replaced by others of the same names: something would be lost.
    #[error(
        "the tables of `{plugin}` cannot be replaced, for with them would go {}. Move that to where it \
         does not depend on them, or into the migrations of the plugin",
        .things.join(", ")
    )]
    Replace {
        /// The plugin.
        plugin: String,
        /// What would be lost.
        things: Vec<String>,
    },
    /// The tables were changed by migrations that the active version does not have.
    #[error(
        "the tables of `{0}` have migrations that its active version does not: a newer version is \
         being deployed, or was and did not become active. Deploy it first"
    )]
    NewerTables(String),
    /// The migrations would break the version that is active, and goes on where this one fails.
    /// Nothing of them was kept.
    #[error(
        "after the migrations of this version of `{plugin}` the active version could not go on: its \
         statement `{statement}` fails with: {reason}. Deploy a version first that does without it"
    )]
    Breaks {
        /// The plugin.
        plugin: String,
        /// The statement, or its beginning.
        statement: String,
        /// Why it fails.
        reason: SqlError,
    },
    /// The same of another plugin, which reads these tables by a grant.
    #[error(
        "`{borrower}` reads the tables of `{plugin}` and could not go on: its statement `{statement}` \
         would fail with: {reason}. Deploy a version of `{borrower}` first that does without it, or take \
         its grant away (`eventfabric plugin grants {borrower} --remove …`)"
    )]
    BreaksBorrower {
        /// The plugin whose tables change.
        plugin: String,
        /// The plugin that reads them.
        borrower: String,
        /// The statement, or its beginning.
        statement: String,
        /// Why it would fail.
        reason: Box<SqlError>,
    },
    /// What can't be granted.
    #[error("`{grant}` cannot be granted: {reason}")]
    Grant {
        /// As it was given.
        grant: String,
        /// Why not, and what to give instead.
        reason: String,
    },
    /// What was to be taken away, and is not there.
    #[error("`{plugin}` has no grant `{grant}` (see `eventfabric plugin grants {plugin}`)")]
    NotGranted {
        /// The plugin.
        plugin: String,
        /// As it was given.
        grant: String,
    },
    /// The host can give no rights that it does not have itself.
    #[error(
        "the host's role may not pass on what is granted to `{plugin}`; an administrator has to run: {}",
        .statements.join("; ")
    )]
    Rights {
        /// The plugin.
        plugin: String,
        /// What lets the host do it.
        statements: Vec<String>,
    },
    /// The host connects as a superuser.
    #[error(
        "plugins are not run by a superuser, and the host connects as `{0}`: give it a role of its own that \
         owns the database and has CREATEROLE, or set sandbox.allow_superuser = true"
    )]
    Superuser(String),
    /// The host may make no roles, and one is missing or not its to act for.
    #[error(
        "the role {role} of `{plugin}` is missing, or the host's role is no member of it, and the host's \
         role may not make roles: have an administrator run what `eventfabric plugin roles {plugin}` \
         prints ({})",
        said(.source)
    )]
    Roles {
        /// The plugin.
        plugin: String,
        /// The role.
        role: String,
        /// What PostgreSQL said.
        source: sqlx::Error,
    },
    /// A statement was refused or failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The database failed.
    #[error("{context}: {}", said(.source))]
    Database {
        /// What the host was doing.
        context: &'static str,
        /// What PostgreSQL said.
        source: sqlx::Error,
    },
}

codes!(SandboxError {
    Self::Name(..) => "plugin-name",
    Self::ForeignSchema(_) => "foreign-schema",
    Self::Unknown(_) => "unknown-plugin",
    Self::Numbers { .. } => "migration-numbers",
    Self::Changed { .. } => "migration-changed",
    Self::Ahead { .. } => "tables-ahead",
    Self::Migration { .. } => "plugin-migration",
    Self::Replace { .. } => "tables-depended-on",
    Self::NewerTables(_) => "tables-newer",
    Self::Breaks { .. } => "migration-breaks-active",
    Self::BreaksBorrower { .. } => "migration-breaks-borrower",
    Self::Grant { .. } => "grant-impossible",
    Self::NotGranted { .. } => "grant-unknown",
    Self::Rights { .. } => "grant-rights",
    Self::Superuser(_) => "host-superuser",
    Self::Roles { .. } => "plugin-roles",
} else {
    Self::Sql(error) => error,
    Self::Database { source, .. } => source,
});

impl SandboxError {
    /// Whether the connection was lost, so that the same can work at once.
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Self::Sql(error) => error.kind == SqlErrorKind::Connection,
            Self::Database { source, .. } => crate::db::is_connection_lost(source),
            _ => false,
        }
    }

    /// Whether the server denied it, so that a new session is worth a try (see [`db::is_denied`]).
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Sql(error) | Self::Breaks { reason: error, .. } => error.is_denied(),
            Self::BreaksBorrower { reason, .. } => reason.is_denied(),
            Self::Database { source, .. } => db::is_denied(source),
            // A session that does not see its memberships believes that it may give nothing.
            Self::Rights { .. } | Self::Roles { .. } => true,
            _ => false,
        }
    }
}

fn at(statement: &Option<String>) -> String {
    statement.as_ref().map_or(String::new(), |s| format!(", in `{s}`"))
}

/// What the server said, without the line of its source that said it.
fn said(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(db) => match db.code() {
            Some(code) => format!("{} (SQLSTATE {code})", db.message()),
            None => db.message().to_owned(),
        },
        None => error.to_string(),
    }
}

/// The beginning of a statement, for an error.
pub(super) fn beginning(statement: &str) -> String {
    let short: String = statement.chars().take(120).collect();
    if short.len() < statement.len() { format!("{short}…") } else { short }
}

/// Gives a database error its context.
pub(super) fn while_doing(context: &'static str) -> impl FnOnce(sqlx::Error) -> SandboxError {
    move |source| SandboxError::Database { context, source }
}
