//! Whether the database of a tenant answers.

use std::time::Duration;

use sqlx::Connection as _;

use super::url::DatabaseUrl;
use crate::{db, store};

/// SQLSTATE too_many_connections.
#[cfg(feature = "runtime")]
const FULL: &str = "53300";

/// Connects, and says in words what is wrong where that fails or takes longer than `patience`.
pub(super) async fn reach(url: &DatabaseUrl, patience: Duration) -> Result<(), String> {
    let options = url.options();
    let answer = async {
        let mut conn = db::connect(&options).await?;
        conn.ping().await?;
        conn.close().await
    };
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(|error| reason(&error)),
        Err(_) => Err(format!("it does not answer within {patience:?}")),
    }
}

/// The same for a database that is in use: one that has no room for another connection is there.
#[cfg(feature = "runtime")]
pub(super) async fn still_there(url: &DatabaseUrl, patience: Duration) -> Result<(), String> {
    let options = url.options();
    let answer = async {
        match db::connect(&options).await {
            Ok(conn) => conn.close().await,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(FULL) => Ok(()),
            Err(error) => Err(error),
        }
    };
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(|error| reason(&error)),
        Err(_) => Err(format!("it does not answer within {patience:?}")),
    }
}

/// An error of the database in words.
pub(super) fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => format!("it cannot be reached ({error})"),
        sqlx::Error::PoolTimedOut => "no connection to it became free in time".to_owned(),
        other => store::describe(other),
    }
}
