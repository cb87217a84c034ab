//! Answers queries from the tables of plugins, over connections that no runner waits for.

use std::sync::Arc;
use std::time::Instant;

use sqlx::PgPool;
use tokio::time::timeout_at;

use super::host::Host;
use crate::code::codes;
use crate::db::Tx;
use crate::plugin::{Active, Ask, InvalidParameter, arguments};
use crate::projection::{Failure, FailureKind};
use crate::sandbox::RowSet;

/// What somebody asks of a plugin.
#[derive(Debug, Clone, Copy)]
pub struct QueryRequest<'a> {
    /// The plugin.
    pub plugin: &'a str,
    /// The query.
    pub query: &'a str,
    /// For whom.
    pub tenant: &'a str,
    /// Whoever asks may see what is this tenant's, and no more.
    pub confined: bool,
    /// Names and values of its parameters.
    pub parameters: &'a [(String, String)],
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No plugin has that name.
    #[error("there is no plugin {0:?}")]
    UnknownPlugin(String),
    /// This host does not have its active version.
    #[error("this host has not loaded the active version of {0}: try again, or see its log")]
    NotLoaded(String),
    /// The plugin has no query of that name.
    #[error("{plugin} answers no query {query:?}; {}", known(.queries))]
    UnknownQuery {
        /// The plugin.
        plugin: String,
        /// What was asked for.
        query: String,
        /// What there is.
        queries: Vec<String>,
    },
    /// Who asks is confined to some tenants, and the answer is not.
    #[error("{0} answers for all tenants together, and the caller is confined to some of them")]
    NotConfined(String),
    /// A parameter does not fit.
    #[error(transparent)]
    Invalid(#[from] InvalidParameter),
    /// It can be asked again.
    #[error("{0}")]
    Busy(String),
    /// The plugin says that the request makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The plugin is wrong, or was stopped.
    #[error("{0}")]
    Failed(String),
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

codes!(QueryError {
    Self::UnknownPlugin(_) => "unknown-plugin",
    Self::NotLoaded(_) => "version-not-loaded",
    Self::UnknownQuery { .. } => "query-not-found",
    Self::NotConfined(_) => "query-not-confined",
    Self::Invalid(_) => "invalid-parameter",
    Self::Busy(_) => "busy",
    Self::Refused(_) => "query-refused",
    Self::Failed(_) => "query-failed",
} else {
    Self::Database(error) => error,
});

fn known(queries: &[String]) -> String {
    match queries {
        [] => "it answers none".to_owned(),
        queries => format!("there are: {}", queries.join(", ")),
    }
}

impl Host {
    /// A plugin whose queries this host can answer. One that is paused, or that an error has stopped, has
    /// its tables still.
    ///
    /// # Errors
    /// There is none of that name, or this host has not loaded it.
    pub fn answering(&self, plugin: &str) -> Result<Arc<Active>, QueryError> {
        let snapshot = self.registry.snapshot();
        if !snapshot.registered.contains_key(plugin) {
            return Err(QueryError::UnknownPlugin(plugin.to_owned()));
        }
        let active = snapshot.current(plugin);
        active.cloned().ok_or_else(|| QueryError::NotLoaded(plugin.to_owned()))
    }

    /// Answers a query. It goes on to its end or its deadline when the caller does not wait for it, so
    /// that no more run than there are connections.
    ///
    /// # Errors
    /// [`QueryError`]. None of them concerns the projection.
    pub async fn query(&self, request: QueryRequest<'_>) -> Result<RowSet, QueryError> {
        let active = self.answering(request.plugin)?;
        let queries = active.plugin.queries();
        let Some(query) = queries.iter().find(|query| query.name == request.query) else {
            return Err(QueryError::UnknownQuery {
                plugin: request.plugin.to_owned(),
                query: request.query.to_owned(),
                queries: queries.iter().map(|query| query.name.clone()).collect(),
            });
        };
        if request.confined && !query.per_tenant {
            return Err(QueryError::NotConfined(query.name.clone()));
        }
        let ask = Ask {
            query: query.name.clone(),
            tenant: request.tenant.to_owned(),
            arguments: arguments(query, request.parameters)?,
        };
        let pool = self.queries.clone();
        let answer = tokio::spawn(async move { answer(&pool, &active, &ask).await });
        answer.await.unwrap_or_else(|error| Err(QueryError::Failed(error.to_string())))
    }
}

/// How often a query is begun anew within its time. Tables that change their places can be in the way
/// of it twice: as tables, and as the functions that read them.
const ATTEMPTS: u32 = 5;

/// Runs it, and again where the database was in the way.
async fn answer(pool: &PgPool, active: &Active, ask: &Ask) -> Result<RowSet, QueryError> {
    let deadline = Instant::now() + active.plugin.limits().query;
    let mut attempts = 1;
    let failure = loop {
        let failure = match attempt(pool, active, ask, deadline).await? {
            Ok(rows) => return Ok(rows),
            Err(failure) => failure,
        };
        let by_the_database = failure.sqlstate.is_some() || failure.connection_lost;
        let again = failure.kind == FailureKind::Retry && by_the_database;
        if !again || attempts == ATTEMPTS || Instant::now() >= deadline {
            break failure;
        }
        attempts += 1;
    };
    let plugin = &active.plugin.description.name;
    match failure.kind {
        FailureKind::Retry => Err(QueryError::Busy(failure.message)),
        FailureKind::Poison if !failure.trapped => Err(QueryError::Refused(failure.message)),
        FailureKind::Poison | FailureKind::Fatal => {
            tracing::warn!(plugin, query = ask.query, error = failure.message, "a query failed");
            Err(QueryError::Failed(failure.message))
        }
    }
}

async fn attempt(
    pool: &PgPool,
    active: &Active,
    ask: &Ask,
    deadline: Instant,
) -> Result<Result<RowSet, Failure>, QueryError> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let begun = timeout_at(deadline.into(), Tx::begin_answering(pool, left())).await;
    let Ok(begun) = begun else {
        let connections = pool.options().get_max_connections();
        return Err(QueryError::Busy(format!(
            "none of the {connections} connections for queries became free in time \
             (query_connections)"
        )));
    };
    let tx = begun?;
    let (tx, answer) = active.plugin.query(tx, &active.sql, ask, &active.config, left()).await;
    if let Some(tx) = tx
        && let Err(error) = tx.rollback().await
    {
        tracing::debug!(%error, "the transaction of a query did not end well");
    }
    Ok(answer)
}
