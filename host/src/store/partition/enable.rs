//! Turns the log into a partitioned table while it is in use.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};

use super::{PartitionError, Shape, create_ahead, shape};

/// Positions whose keys are written in one transaction.
const KEYS: i64 = 20_000;
/// A log with fewer positions is looked through in less than a second, under the lock.
const SMALL: i64 = 1_000_000;
/// Who must wait for the log waits this long and lets the others go first: behind one that waits
/// for an exclusive lock everybody waits.
const LOCK_TIMEOUT: &str = "2s";
const TRIES: usize = 30;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// What [`enable`] is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Writing the keys of the events: up to which position, and how far it goes.
    Keys {
        /// Events up to this position have theirs.
        done: i64,
        /// And up to this one all will.
        until: i64,
    },
    /// Looking through a large log, so that it need not be done under the lock.
    Looking,
    /// Changing the tables.
    Switching,
}

/// What [`enable`] has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Enabled {
    /// The log was partitioned before (by this program or by the TypeScript library).
    pub already: bool,
    /// Positions in each partition that is made from now on.
    pub size: i64,
    /// The partitions made ahead now.
    pub created: Vec<String>,
    /// Events that have the id or the version of an earlier one. Possible only in a log that the
    /// TypeScript library has partitioned.
    pub doubles: i64,
}

/// Partitions the log: what is there becomes `events_p0`, what comes goes to `events_p1` and
/// further partitions of `size` positions (`None`: as it was, or [`super::DEFAULT_SIZE`]), of which
/// `ahead` are made at once. Appends and reads go on, but for moments under a lock:
///
/// 1. The keys of all events are written, 20,000 at a time, without a lock.
/// 2. A log of more than a million positions is looked through under SHARE UPDATE EXCLUSIVE, which
///    stops nobody, so that 3 need not do so. From then on to 3 positions may not go beyond a border
///    that is at least a million positions away.
/// 3. One transaction under ACCESS EXCLUSIVE changes the tables; no row is rewritten.
///
/// Interrupted at any moment, it goes on where it stood when it is called again. A log that is
/// partitioned gets what it lacks: keys, and partitions ahead.
///
/// # Errors
/// See [`PartitionError`]; then the log is as it was.
pub async fn enable(
    pool: &PgPool,
    size: Option<i64>,
    ahead: i32,
    mut progress: impl FnMut(Step),
) -> Result<Enabled, PartitionError> {
    if size.is_some_and(|size| size < 1) {
        return Err(PartitionError::Invalid("a partition needs at least one position".to_owned()));
    }
    // Its end frees the lock and forgets the settings, however this ends.
    let mut conn = pool.acquire().await?.detach();
    let enabled = on(&mut conn, size, &mut progress).await;
    if let Err(error) = conn.close().await {
        tracing::debug!(%error, "closing the connection that partitioned the log");
    }
    let mut enabled = enabled?;
    enabled.created = create_ahead(pool, ahead).await?;
    Ok(enabled)
}

async fn on(
    conn: &mut PgConnection,
    size: Option<i64>,
    progress: &mut impl FnMut(Step),
) -> Result<Enabled, PartitionError> {
    sqlx::query_file!("src/store/partition/sql/settings.sql", LOCK_TIMEOUT)
        .fetch_one(&mut *conn)
        .await?;
    let locked = sqlx::query_file!("src/store/partition/sql/lock.sql").fetch_one(&mut *conn).await;
    if let Err(error) = locked {
        return Err(if is_locked(&error) { PartitionError::Busy } else { error.into() });
    }
    let before = shape(&mut *conn).await?;
    let known = size.or(before.size).unwrap_or(super::DEFAULT_SIZE);
    let mut enabled = Enabled { already: before.partitioned, size: known, ..Enabled::default() };
    if !before.partitioned {
        refuse_what_stands_on_it(conn).await?;
    }
    begin_keys(conn, known).await?;
    if before.size.is_some_and(|before| before != known) {
        sqlx::query_file!("src/store/partition/sql/resize.sql", known).execute(&mut *conn).await?;
    }
    enabled.doubles = write_keys(conn, progress).await?;
    if !before.partitioned {
        let switched = switch(conn, known, progress).await;
        if switched.is_err() {
            // Best effort: where it fails, the next call does it.
            drop(
                sqlx::query_file!("src/store/partition/sql/take_back_promise.sql")
                    .execute(&mut *conn)
                    .await,
            );
        }
        switched?;
    }
    Ok(enabled)
}

async fn refuse_what_stands_on_it(conn: &mut PgConnection) -> Result<(), PartitionError> {
    let rows = sqlx::query_file!("src/store/partition/sql/stands_on.sql").fetch_all(conn).await?;
    if rows.is_empty() {
        return Ok(());
    }
    Err(PartitionError::StandsOn(rows.into_iter().map(|row| row.object).collect()))
}

async fn begin_keys(conn: &mut PgConnection, size: i64) -> Result<(), PartitionError> {
    for _ in 0..TRIES {
        let begun = sqlx::query_file!("src/store/partition/sql/begin_keys.sql", size)
            .fetch_one(&mut *conn)
            .await;
        if unlocked(begun).await?.is_some() {
            return Ok(());
        }
    }
    Err(PartitionError::Locked(TRIES))
}

async fn write_keys(
    conn: &mut PgConnection,
    progress: &mut impl FnMut(Step),
) -> Result<i64, PartitionError> {
    let mut doubles = 0;
    loop {
        let step = sqlx::query_file!("src/store/partition/sql/continue_keys.sql", KEYS)
            .fetch_one(&mut *conn)
            .await?;
        doubles += step.doubles;
        progress(Step::Keys { done: step.keyed, until: step.until });
        if step.keyed >= step.until {
            return Ok(doubles);
        }
    }
}

async fn switch(
    conn: &mut PgConnection,
    size: i64,
    progress: &mut impl FnMut(Step),
) -> Result<(), PartitionError> {
    let Shape { last_position, .. } = shape(&mut *conn).await?;
    if last_position > SMALL {
        progress(Step::Looking);
        promise(conn, border(last_position, size)).await?;
        sqlx::query_file!("src/store/partition/sql/keep_promise.sql").execute(&mut *conn).await?;
    }
    progress(Step::Switching);
    for _ in 0..TRIES {
        let switched =
            sqlx::query_file!("src/store/partition/sql/partition.sql").fetch_one(&mut *conn).await;
        if unlocked(switched).await?.is_some() {
            return Ok(());
        }
    }
    Err(PartitionError::Locked(TRIES))
}

async fn promise(conn: &mut PgConnection, border: i64) -> Result<(), PartitionError> {
    for _ in 0..TRIES {
        let promised = sqlx::query_file!("src/store/partition/sql/promise_border.sql", border)
            .fetch_one(&mut *conn)
            .await;
        if unlocked(promised).await?.is_some() {
            return Ok(());
        }
    }
    Err(PartitionError::Locked(TRIES))
}

/// The end of `events_p0`: a multiple of the size, and so far ahead that appends do not get there
/// while the log is looked through.
fn border(last_position: i64, size: i64) -> i64 {
    let ahead = (last_position / 20).max(SMALL);
    (last_position + ahead) / size * size + size
}

/// `None` when the log could not be locked; a moment has passed then.
async fn unlocked<T>(result: sqlx::Result<T>) -> sqlx::Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if !is_locked(&error) => Err(error),
        Err(_) => {
            tokio::time::sleep(BETWEEN_TRIES).await;
            Ok(None)
        }
    }
}

/// A lock was not had in time, or only in a ring with another one.
fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|db| db.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_is_a_multiple_of_the_size_and_far_ahead() {
        for (last, size) in [(1_000_001, 1), (5_000_000, 10_000_000), (900_000_000, 7)] {
            let border = border(last, size);
            assert_eq!(border % size, 0);
            assert!(border > last + SMALL && border <= last + last / 20 + SMALL + size);
        }
    }
}
