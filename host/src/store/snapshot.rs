//! Snapshots: the state of an aggregate at a version, the latest only, so that not all of its
//! events need be read. What the state means is known to the program that owns the aggregate.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::payload::check_escapes;
use super::{EventStore, StoreError};
use crate::event::StreamId;

/// A snapshot as it is stored.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The version of the last event that is in the state.
    pub version: i32,
    /// The version of the state's own schema.
    pub schema_version: i32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// Somebody wants it made anew from the events: it is not to be used.
    pub rebuild_requested: bool,
    /// JSON.
    pub state: String,
}

/// How far a stream is.
#[derive(Debug, Clone)]
pub struct StreamHead {
    /// The version of its last event, dismissed ones counted; 0 for a stream without events.
    pub version: i32,
    /// Its snapshot, where one was asked for and is there.
    pub snapshot: Option<Snapshot>,
}

/// A snapshot to be written.
#[derive(Debug, Clone)]
pub struct NewSnapshot {
    /// Of which stream.
    pub stream: StreamId,
    /// The version of the last event that is in the state.
    pub version: i32,
    /// The version of the state's own schema, from 1.
    pub schema_version: i32,
    /// JSON.
    pub state: String,
    /// The state was made from the events alone, without an earlier snapshot.
    pub whole: bool,
}

/// A snapshot in a list.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SnapshotInfo {
    /// The tenant of the stream.
    pub tenant: String,
    /// The kind of aggregate.
    pub aggregate: String,
    /// Which aggregate of that kind.
    pub id: String,
    /// The version of the last event that is in the state.
    pub version: i32,
    /// The version of the stream's last event; none where the stream does not exist.
    pub stream_version: Option<i32>,
    /// The version of the state's own schema.
    pub schema_version: i32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When somebody asked for it to be made anew.
    pub rebuild_requested_at: Option<DateTime<Utc>>,
    /// The size of the state in the table, compressed where PostgreSQL does so.
    pub stored_bytes: i32,
}

impl SnapshotInfo {
    /// The stream that it is of.
    pub fn stream(&self) -> StreamId {
        StreamId::new(&*self.aggregate, &*self.id).in_tenant(&*self.tenant)
    }
}

/// Which snapshots.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFilter {
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only of this kind of aggregate.
    pub aggregate: Option<String>,
    /// Only of the aggregate with this id.
    pub id: Option<String>,
    /// Only those that are to be made anew (for lists).
    pub rebuild_requested: bool,
}

impl EventStore {
    /// How far a stream is, with its snapshot where `with_snapshot` asks for it. `None` for a
    /// stream that was never started.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn stream_head(
        &self,
        stream: &StreamId,
        with_snapshot: bool,
    ) -> Result<Option<StreamHead>, StoreError> {
        let row = sqlx::query_file!(
            "src/store/sql/snapshot_read.sql",
            stream.tenant,
            stream.aggregate,
            stream.id,
            with_snapshot
        )
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let snapshot = match (row.version, row.schema_version, row.created_at, row.state) {
            (Some(version), Some(schema_version), Some(created_at), Some(state)) => {
                let rebuild_requested = row.rebuild_requested_at.is_some();
                Some(Snapshot { version, schema_version, created_at, rebuild_requested, state })
            }
            _ => None,
        };
        Ok(Some(StreamHead { version: row.current_version, snapshot }))
    }
}

/// Writes snapshots of different streams. One that is older than what is there is left out; so is
/// one that PostgreSQL could not store, with a warning: a snapshot is never worth an error.
///
/// # Errors
/// When the database refuses.
pub async fn save_snapshots(
    conn: &mut PgConnection,
    snapshots: &[NewSnapshot],
) -> Result<(), StoreError> {
    let mut columns = Columns::default();
    for snapshot in snapshots {
        if let Err(reason) = check_escapes(&snapshot.state) {
            let stream = &snapshot.stream;
            tracing::warn!(%stream, reason, "no snapshot: the state cannot be stored");
            continue;
        }
        columns.tenants.push(&snapshot.stream.tenant);
        columns.aggregates.push(&snapshot.stream.aggregate);
        columns.ids.push(&snapshot.stream.id);
        columns.versions.push(snapshot.version);
        columns.schema_versions.push(snapshot.schema_version);
        columns.states.push(&snapshot.state);
        columns.whole.push(snapshot.whole);
    }
    if columns.ids.is_empty() {
        return Ok(());
    }
    sqlx::query_file!(
        "src/store/sql/snapshot_write.sql",
        &columns.tenants as &[&str],
        &columns.aggregates as &[&str],
        &columns.ids as &[&str],
        &columns.versions,
        &columns.schema_versions,
        &columns.states as &[&str],
        &columns.whole
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An array a parameter.
#[derive(Default)]
struct Columns<'a> {
    tenants: Vec<&'a str>,
    aggregates: Vec<&'a str>,
    ids: Vec<&'a str>,
    versions: Vec<i32>,
    schema_versions: Vec<i32>,
    states: Vec<&'a str>,
    whole: Vec<bool>,
}

/// At most `limit` snapshots in the order of tenant, aggregate and id, those `after` a stream.
///
/// # Errors
/// When the database refuses.
pub async fn snapshots(
    executor: impl PgExecutor<'_>,
    filter: &SnapshotFilter,
    after: Option<&StreamId>,
    limit: i64,
) -> sqlx::Result<Vec<SnapshotInfo>> {
    sqlx::query_file_as!(
        SnapshotInfo,
        "src/store/sql/snapshot_list.sql",
        filter.tenant.as_deref(),
        filter.aggregate.as_deref(),
        filter.id.as_deref(),
        filter.rebuild_requested,
        after.map(|stream| stream.tenant.as_str()),
        after.map(|stream| stream.aggregate.as_str()),
        after.map(|stream| stream.id.as_str()),
        limit
    )
    .fetch_all(executor)
    .await
}

/// Deletes snapshots, and answers how many. Nothing is lost but time: the next load of each
/// aggregate reads all of its events.
///
/// # Errors
/// When the database refuses.
pub async fn delete_snapshots(
    executor: impl PgExecutor<'_>,
    filter: &SnapshotFilter,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query_file!(
        "src/store/sql/snapshot_delete.sql",
        filter.tenant.as_deref(),
        filter.aggregate.as_deref(),
        filter.id.as_deref()
    )
    .execute(executor)
    .await?;
    Ok(deleted.rows_affected())
}

/// Marks snapshots as to be made anew, and answers how many. From now on loads read all events, and
/// the next program that saves the aggregate, or rebuilds its snapshots, writes a new one.
///
/// # Errors
/// When the database refuses.
pub async fn request_snapshot_rebuild(
    executor: impl PgExecutor<'_>,
    filter: &SnapshotFilter,
) -> sqlx::Result<u64> {
    let marked = sqlx::query_file!(
        "src/store/sql/snapshot_request_rebuild.sql",
        filter.tenant.as_deref(),
        filter.aggregate.as_deref(),
        filter.id.as_deref()
    )
    .execute(executor)
    .await?;
    Ok(marked.rows_affected())
}
