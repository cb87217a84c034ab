//! Running a query: page by page, each in a read-only transaction with a time-out.

use std::pin::pin;
use std::time::Duration;

use futures::stream::{Stream, StreamExt as _, TryStreamExt as _};
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;

use super::{Dismissed, Filter, Query};
use crate::db::Tx;
use crate::event::Event;
use crate::store::load::places;
use crate::store::read::{PAGE, Page, page_of, pages};
use crate::store::row::EventRow;
use crate::store::{Direction, StoreError, add_traces};

/// One of the statements that have the same conditions.
macro_rules! with_conditions {
    ($statement:ident($($first:tt),+), $filter:expr, $limit:expr, $found:expr) => {
        sqlx::$statement!(
            $($first),+,
            $filter.after,
            $filter.until,
            $limit,
            $filter.tenant.as_deref() as Option<&str>,
            $filter.aggregates.as_deref() as Option<&[String]>,
            $filter.aggregate_id.as_deref() as Option<&str>,
            $filter.least_version as Option<i32>,
            $filter.greatest_version as Option<i32>,
            $filter.types.as_deref() as Option<&[String]>,
            $filter.since as Option<chrono::DateTime<chrono::Utc>>,
            $filter.before as Option<chrono::DateTime<chrono::Utc>>,
            $filter.correlation_id.as_deref() as Option<&str>,
            $filter.causation_id.as_deref() as Option<&str>,
            $found.positions.as_deref() as Option<&[i64]>,
            $filter.contains.as_deref() as Option<&str>,
            $filter.path.as_deref() as Option<&str>,
            $found.predicate,
            $found.variables as Option<&str>,
            $filter.dismissed != Dismissed::Without,
            $filter.dismissed != Dismissed::Only
        )
    };
}

impl Query {
    /// The events, read page by page as they are asked for.
    ///
    /// # Errors
    /// Those of [`Query::load`], as the last item.
    pub fn stream(self) -> impl Stream<Item = Result<Event, StoreError>> + Send + 'static {
        let limit = self.limit.unwrap_or(usize::MAX);
        let start = (limit > 0).then_some((self.filter.after, self.filter.until, limit));
        pages(start, move |(after, until, left)| {
            let query = self.clone();
            async move {
                query.check()?;
                let filter = Filter { after, until, ..query.filter };
                let size = i64::try_from(left).unwrap_or(i64::MAX).min(PAGE);
                let mut page = reading(&query.pool, query.timeout, async |conn| {
                    page(conn, &filter, query.direction, size).await
                })
                .await?;
                add_traces(&query.pool, &mut page.events).await?;
                let left = left - page.events.len();
                let last = page.events.last().map(|event| event.position);
                let next =
                    last.filter(|_| page.full && left > 0).map(|last| match query.direction {
                        Direction::Forward => (last, until, left),
                        Direction::Backward => (after, last - 1, left),
                    });
                Ok((page.events, next))
            }
        })
    }

    /// All the events at once. Give the query a limit, or know that what it finds fits in memory.
    ///
    /// # Errors
    /// [`StoreError::InvalidQuery`] for a JSON path that is none, a variable that it lacks, or a value
    /// that PostgreSQL can't take; [`StoreError::QueryTimedOut`]; [`StoreError::Database`].
    pub async fn load(self) -> Result<Vec<Event>, StoreError> {
        self.stream().try_collect().await
    }

    /// The first event that the query finds, in its direction.
    ///
    /// # Errors
    /// As [`Query::load`].
    pub async fn first(self) -> Result<Option<Event>, StoreError> {
        pin!(self.limit(1).stream()).next().await.transpose()
    }

    /// How many events there are; not more than the limit, where one is set.
    ///
    /// # Errors
    /// As [`Query::load`].
    pub async fn count(self) -> Result<u64, StoreError> {
        self.check()?;
        let limit = self.limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let filter = &self.filter;
        reading(&self.pool, self.timeout, async |conn| {
            let found = look(conn, filter).await?;
            let row = with_conditions!(
                query_file("src/store/sql/query_count.sql"),
                filter,
                limit as Option<i64>,
                found
            )
            .fetch_one(conn)
            .await?;
            Ok(row.count.unsigned_abs())
        })
        .await
    }
}

impl Query {
    /// What can be said without the database.
    fn check(&self) -> Result<(), StoreError> {
        if let Some(invalid) = &self.filter.invalid {
            return Err(StoreError::InvalidQuery(invalid.clone()));
        }
        if self.filter.path.is_none() && self.filter.variables.is_some() {
            let why = "variables need a JSON path that uses them";
            return Err(StoreError::InvalidQuery(why.to_owned()));
        }
        match (&self.own, &self.filter.tenant) {
            (Some((own, _)), Some(asked)) if own.as_str() != asked => {
                Err(StoreError::OtherTenant { own: own.clone(), asked: asked.clone() })
            }
            _ => Ok(()),
        }
    }
}

async fn page(
    conn: &mut PgConnection,
    filter: &Filter,
    direction: Direction,
    limit: i64,
) -> Result<Page, StoreError> {
    let found = look(conn, filter).await?;
    match direction {
        Direction::Forward => {
            let statement = with_conditions!(
                query_file_as(EventRow, "src/store/sql/query_forward.sql"),
                filter,
                limit,
                found
            );
            page_of(statement.fetch(conn), limit).await
        }
        Direction::Backward => {
            let statement = with_conditions!(
                query_file_as(EventRow, "src/store/sql/query_backward.sql"),
                filter,
                limit,
                found
            );
            page_of(statement.fetch(conn), limit).await
        }
    }
}

/// What the database says of the conditions before the statement is run.
#[derive(Default)]
struct Found<'a> {
    /// Where the events with the ids asked for are.
    positions: Option<Vec<i64>>,
    /// The JSON path is a predicate.
    predicate: bool,
    /// A JSON object for the path. Without one, PostgreSQL's operators take each variable for null.
    variables: Option<&'a str>,
}

/// Looks at the ids and the JSON path of a query; an error where it is no path.
async fn look<'a>(conn: &mut PgConnection, filter: &'a Filter) -> Result<Found<'a>, StoreError> {
    let mut found = Found::default();
    if let (Some(tenant), Some([aggregate]), Some(id)) =
        (&filter.tenant, filter.aggregates.as_deref(), &filter.aggregate_id)
    {
        // In a statement of its own, in the same state of the database: a condition of the scan would
        // vanish together with the partitions that are pruned.
        sqlx::query_file!(
            "src/store/sql/require_attached.sql",
            tenant,
            aggregate,
            id,
            filter.least_version.unwrap_or(1),
            filter.greatest_version.unwrap_or(i32::MAX)
        )
        .fetch_one(&mut *conn)
        .await?;
    }
    if let Some(ids) = &filter.event_ids {
        found.positions = Some(places(&mut *conn, ids).await?.into_values().collect());
    }
    let Some(path) = &filter.path else { return Ok(found) };
    let variables = filter.variables.as_deref();
    let row = sqlx::query_file!("src/store/sql/query_path.sql", path, variables as Option<&str>)
        .fetch_one(conn)
        .await
        .map_err(|error| match refusal(&error) {
            Some(why) => StoreError::InvalidQuery(format!("the JSON path {path}: {why}")),
            None => error.into(),
        })?;
    let none = row.variables.then_some("{}");
    Ok(Found { predicate: row.predicate, variables: variables.or(none), ..found })
}

/// Does something in a read-only transaction, and says in the words of a query why it failed.
pub(in crate::store) async fn reading<T>(
    pool: &sqlx::PgPool,
    timeout: Duration,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut tx = Tx::begin_reading(pool, timeout).await?;
    match work(tx.conn()).await {
        Ok(found) => {
            tx.rollback().await?;
            Ok(found)
        }
        Err(error) => {
            // So that the connection can be used again; where it can't, the error says why.
            if let Err(error) = tx.rollback().await {
                tracing::debug!(%error, "a query was not rolled back");
            }
            Err(explained(error, timeout))
        }
    }
}

fn explained(error: StoreError, timeout: Duration) -> StoreError {
    let StoreError::Database(error) = error else { return error };
    match (sqlstate(&error).as_deref(), refusal(&error)) {
        (Some("57014"), _) => StoreError::QueryTimedOut(timeout),
        (_, Some(why)) => StoreError::InvalidQuery(format!("the query cannot be answered: {why}")),
        _ => error.into(),
    }
}

/// What the server says where it is the query that is wrong.
fn refusal(error: &sqlx::Error) -> Option<String> {
    let code = sqlstate(error)?;
    // 22: data exception. 42601, 42704: a path that cannot be parsed, a variable that is missing.
    // 0A000: a part of SQL/JSON that this server lacks. 54: too long or too complex.
    let wrong = ["22", "42601", "42704", "0A000", "54"].iter().any(|class| code.starts_with(class));
    if !wrong {
        return None;
    }
    let error = error.as_database_error()?;
    let detail = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail);
    Some(match detail {
        Some(detail) => format!("{}: {detail}", error.message()),
        None => error.message().to_owned(),
    })
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}
