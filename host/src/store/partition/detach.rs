//! Takes partitions out of the log, and puts them back.

use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};

use super::PartitionError;

/// A partition to be taken out, as the catalogue tells it.
struct Found {
    name: String,
    from_position: Option<i64>,
    to_position: Option<i64>,
    detaching: bool,
    closed: bool,
}

/// The partitions that were taken out of the log and not put back.
///
/// # Errors
/// When the database can't be read.
pub async fn detached(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    let rows = sqlx::query_file!("src/store/partition/sql/detached.sql").fetch_all(pool).await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Takes a partition out of the log. Its events stay in a table of that name, append-only as before,
/// and their ids and versions stay taken. Loads of streams that need them fail from now on; reading
/// the log goes on without them.
///
/// Reads and appends go on meanwhile (DETACH … CONCURRENTLY: SHARE UPDATE EXCLUSIVE on the log; it
/// waits for transactions that use the partition). Interrupted, it finishes when it is called again.
///
/// # Errors
/// [`PartitionError::InUse`] where events are still to come into it, and [`PartitionError::NotRead`]
/// where projections have not handled all of its events, unless `unread` says that this does not matter.
pub async fn detach(pool: &PgPool, name: &str, unread: bool) -> Result<(), PartitionError> {
    let found = sqlx::query_file_as!(Found, "src/store/partition/sql/find.sql", name)
        .fetch_optional(pool)
        .await?
        .ok_or_else(|| {
            PartitionError::Invalid(format!(
                "the log has no partition {name}: see `eventfabric partitions list`"
            ))
        })?;
    let Some(to) = found.to_position.filter(|_| found.closed) else {
        return Err(PartitionError::InUse(found.name));
    };
    if !unread {
        let from = found.from_position.unwrap_or(0);
        let waiting = sqlx::query_file!("src/store/partition/sql/waited_for.sql", from, to)
            .fetch_all(pool)
            .await?;
        if !waiting.is_empty() {
            let who = waiting.into_iter().map(|row| row.who).collect();
            return Err(PartitionError::NotRead { name: found.name, who });
        }
    }
    let mut conn = pool.acquire().await?.detach();
    let done = take_out(&mut conn, &found, to).await;
    if let Err(error) = conn.close().await {
        tracing::debug!(%error, "closing the connection that detached a partition");
    }
    done
}

async fn take_out(conn: &mut PgConnection, found: &Found, to: i64) -> Result<(), PartitionError> {
    // It may wait for long; nobody waits for it.
    sqlx::query_file!("src/store/partition/sql/settings.sql", "0").fetch_one(&mut *conn).await?;
    sqlx::query_file!(
        "src/store/partition/sql/note_detached.sql",
        found.name,
        found.from_position,
        to
    )
    .execute(&mut *conn)
    .await?;
    let how = if found.detaching { "FINALIZE" } else { "CONCURRENTLY" };
    // It can't run in a function, nor take the name as a parameter.
    let sql = format!(
        "ALTER TABLE eventfabric.events DETACH PARTITION eventfabric.{} {how}",
        quoted(&found.name)
    );
    if let Err(error) = conn.execute(sqlx::AssertSqlSafe(sql)).await {
        // (A detach that was begun is finished by the next call, and loads go without it already.)
        let still = sqlx::query_file_as!(Found, "src/store/partition/sql/find.sql", found.name)
            .fetch_optional(&mut *conn)
            .await?;
        if still.is_some_and(|still| !still.detaching) {
            sqlx::query_file!("src/store/partition/sql/forget_detached.sql", found.name)
                .execute(&mut *conn)
                .await?;
        }
        return Err(error.into());
    }
    sqlx::query_file!("src/store/partition/sql/guard_detached.sql", found.name)
        .fetch_optional(&mut *conn)
        .await?;
    Ok(())
}

/// Puts a partition back that was taken out, under SHARE UPDATE EXCLUSIVE on the log: nobody waits for
/// it. Projections that have passed its positions do not read them again.
///
/// # Errors
/// When it was not detached, when its table is gone, or lacks a column that the log got meanwhile.
pub async fn attach(pool: &PgPool, name: &str) -> Result<(), PartitionError> {
    let attached =
        sqlx::query_file!("src/store/partition/sql/attach.sql", name).fetch_one(pool).await;
    match attached {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(db)) if db.code().as_deref() == Some("42704") => {
            Err(PartitionError::Invalid(format!(
                "{name} was not detached from the log: see `eventfabric partitions list`"
            )))
        }
        Err(error) => Err(error.into()),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_is_one_name_whatever_is_in_it() {
        assert_eq!(super::quoted("a\" ; DROP TABLE x"), "\"a\"\" ; DROP TABLE x\"");
    }
}
