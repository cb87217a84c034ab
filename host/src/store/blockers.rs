//! Who may hold the delivery up: transactions that are open for long or that others wait for.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use sqlx::PgPool;

use super::error::seconds;

/// A transaction that holds something up, or may do so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Blocker {
    /// The server process; none for a prepared transaction.
    pub pid: Option<i32>,
    /// The name of a prepared transaction.
    pub gid: Option<String>,
    /// For how long it has been open, in seconds; none where the server does not tell this role.
    pub seconds: Option<f64>,
    /// `active`, `idle in transaction`, `prepared`…
    pub state: Option<String>,
    /// Who.
    pub user: Option<String>,
    /// What the program calls itself.
    pub application: Option<String>,
    /// Where the program runs; none for a local socket.
    pub client: Option<String>,
    /// What an active one waits for.
    pub waits_for: Option<String>,
    /// Its last statement, shortened.
    pub query: Option<String>,
    /// It may still add an event, so the safe head can't pass it.
    pub holds_log: bool,
    /// The server processes that wait for it.
    pub blocks: Vec<i32>,
    /// The server processes that it waits for; 0 stands for a prepared transaction.
    pub blocked_by: Vec<i32>,
}

/// The transactions of this database that are open for so long, or that others wait for, or are
/// prepared: the oldest first, a hundred at most.
///
/// # Errors
/// When the database can't be asked.
pub async fn blockers(pool: &PgPool, open_for: Duration) -> sqlx::Result<Vec<Blocker>> {
    sqlx::query_file_as!(Blocker, "src/store/sql/blockers.sql", open_for.as_secs_f64())
        .fetch_all(pool)
        .await
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = self.seconds.map(|age| Duration::try_from_secs_f64(age).unwrap_or_default());
        match (&self.gid, self.pid) {
            (Some(gid), _) => write!(f, "the prepared transaction '{gid}'")?,
            (None, Some(pid)) => write!(f, "the transaction of server process {pid}")?,
            (None, None) => write!(f, "a transaction")?,
        }
        if let Some(application) = &self.application {
            write!(f, " ({application})")?;
        }
        if let Some(user) = &self.user {
            write!(f, " of {user}")?;
        }
        if let Some(client) = &self.client {
            write!(f, " at {client}")?;
        }
        if let Some(age) = age {
            write!(f, ", open for {}", long(age))?;
        }
        if let Some(state) = self.state.as_deref().filter(|_| self.gid.is_none()) {
            write!(f, ", {state}")?;
        }
        if self.holds_log {
            write!(f, ", which may still add an event")?;
        }
        if !self.blocks.is_empty() {
            write!(f, ", for which {} waits", list(&self.blocks))?;
        }
        if !self.blocked_by.is_empty() {
            write!(f, ", itself waiting for {}", list(&self.blocked_by))?;
        }
        match (&self.query, &self.gid) {
            (_, Some(gid)) => {
                write!(f, ": end it with COMMIT PREPARED or ROLLBACK PREPARED '{gid}'")
            }
            (Some(query), None) if !query.is_empty() => write!(f, ": {query}"),
            _ => Ok(()),
        }
    }
}

fn list(pids: &[i32]) -> String {
    pids.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

/// A long time as people say it: `40m 12s`.
fn long(time: Duration) -> String {
    let whole = time.as_secs();
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, 0) => seconds(&time),
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocker_is_named_by_what_an_operator_looks_for() {
        let idle = Blocker {
            pid: Some(4242),
            gid: None,
            seconds: Some(2412.4),
            state: Some("idle in transaction".to_owned()),
            user: Some("ada".to_owned()),
            application: Some("psql".to_owned()),
            client: None,
            waits_for: None,
            query: Some("INSERT INTO eventfabric.events".to_owned()),
            holds_log: true,
            blocks: vec![17, 18],
            blocked_by: Vec::new(),
        };
        assert_eq!(
            idle.to_string(),
            "the transaction of server process 4242 (psql) of ada, open for 40m 12s, idle in \
             transaction, which may still add an event, for which 17, 18 waits: INSERT INTO \
             eventfabric.events"
        );
        let prepared = Blocker {
            pid: None,
            gid: Some("transfer-7".to_owned()),
            state: Some("prepared".to_owned()),
            application: None,
            query: None,
            blocks: Vec::new(),
            ..idle
        };
        assert_eq!(
            prepared.to_string(),
            "the prepared transaction 'transfer-7' of ada, open for 40m 12s, which may still add an \
             event: end it with COMMIT PREPARED or ROLLBACK PREPARED 'transfer-7'"
        );
    }
}
