//! The same work on the databases of many tenants: a few at a time, and on past failures.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt as _};
use sqlx::PgPool;

use super::directory::Entry;
use super::reach::{reach, reason};
use super::url::DatabaseUrl;
use crate::db;
use crate::store::migrate::{self, MigrateError, Report, Status};

/// What has come of the work on one tenant's database.
#[derive(Debug)]
pub struct Swept<T> {
    /// The tenant, and where its database is.
    pub entry: Entry,
    /// What the work has answered, or why it failed, in words.
    pub outcome: Result<T, String>,
}

/// Migrates the databases of these tenants, `at_once` at a time. Each tells how it ended as it ends;
/// no failure keeps another one from its turn.
pub fn migrate_all(
    entries: Vec<Entry>,
    at_once: usize,
    patience: Duration,
) -> impl Stream<Item = Swept<Report>> {
    sweep(entries, at_once, patience, |pool| migrate::migrate(pool).boxed())
}

/// Looks which of these tenants' databases answer, and what they lack, `at_once` at a time.
pub fn check_all(
    entries: Vec<Entry>,
    at_once: usize,
    patience: Duration,
) -> impl Stream<Item = Swept<Status>> {
    sweep(entries, at_once, patience, |pool| migrate::check(pool).boxed())
}

type Work<T> = fn(&PgPool) -> BoxFuture<'_, Result<T, MigrateError>>;

fn sweep<T>(
    entries: Vec<Entry>,
    at_once: usize,
    patience: Duration,
    work: Work<T>,
) -> impl Stream<Item = Swept<T>> {
    stream::iter(entries)
        .map(move |entry| async move {
            let outcome = match &entry.database {
                Ok(url) => one(url, patience, work).await,
                Err(error) => Err(format!("its address in the directory is {error}")),
            };
            Swept { entry, outcome }
        })
        .buffer_unordered(at_once.max(1))
}

async fn one<T>(url: &DatabaseUrl, patience: Duration, work: Work<T>) -> Result<T, String> {
    reach(url, patience).await?;
    let pool = db::pool_within(url.options(), 1, patience);
    let done = work(&pool).await.map_err(|error| match &error {
        MigrateError::Connection { source, .. } => reason(source),
        error => error.to_string(),
    });
    db::close(&pool).await;
    done
}
