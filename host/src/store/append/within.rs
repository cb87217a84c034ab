//! Appends of a projection that answers events with events: in the transaction that handles them.

use std::sync::Arc;

use sqlx::PgExecutor;
use uuid::Uuid;

use super::prepared::Prepared;
use super::{Append, Appended, Deadline, REFRESHES, Refused, keeps_changing};
use crate::db::Tx;
use crate::event::StreamId;
use crate::store::{EventStore, StoreError, trace};
use crate::trace::TraceContext;

/// An event that is in the log, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: Uuid,
    /// Its place in the log.
    pub position: i64,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in that.
    pub version: i32,
    /// Its type; nothing where its partition was detached.
    pub event_type: Option<String>,
}

impl EventStore {
    /// Appends events to one stream in a transaction of the caller's, with all that belongs to an append:
    /// outbox, seals, inline projections. It waits for locks as long as the transaction does. The hint of new
    /// events follows its commit.
    ///
    /// # Errors
    /// After [`StoreError::Conflict`], and where the append itself is wrong, nothing was written and the
    /// transaction goes on. After any other error it can only be rolled back.
    pub async fn append_within(
        &self,
        tx: &mut Tx,
        append: Append,
        deadline: Deadline,
    ) -> Result<Appended, StoreError> {
        let mut appends = vec![append];
        let span = trace::begin(&mut appends);
        let appended = span.within(self.insert_within(tx, appends, deadline)).await;
        trace::end(&span, &appended);
        appended
    }

    async fn insert_within(
        &self,
        tx: &mut Tx,
        appends: Vec<Append>,
        deadline: Deadline,
    ) -> Result<Appended, StoreError> {
        let prepared = Prepared::new(appends)?;
        for _ in 0..REFRESHES {
            let known = match self.known_for(&prepared) {
                Ok(known) => known,
                Err(_) if self.schemas.refresh(tx.conn()).await? => continue,
                Err(unfit) => return Err(unfit),
            };
            // With one stream, what is refused has written nothing and has failed nothing.
            let appended = match prepared.insert(tx.conn(), known, None).await {
                Ok(appended) => appended,
                Err(Refused::Error(error)) => return Err(error),
                Err(Refused::OtherSchemas) => {
                    self.schemas.refresh(tx.conn()).await?;
                    continue;
                }
                Err(Refused::OtherInline) => {
                    self.refresh_inline().await?;
                    continue;
                }
            };
            self.seal(tx, &appended.events).await?;
            if let (false, Some(inline)) = (known.inline.is_empty, &self.inline) {
                let events = prepared.events(&appended);
                inline.run(tx, known.inline.number, &events, deadline).await?;
            }
            let wake = self.wake.clone();
            tx.afterwards(Arc::new(move || wake.hint()));
            return Ok(appended);
        }
        Err(keeps_changing())
    }
}

/// The events with these ids that are in the log.
///
/// # Errors
/// The database's.
pub async fn find_events(executor: impl PgExecutor<'_>, ids: &[Uuid]) -> sqlx::Result<Vec<Found>> {
    let rows = sqlx::query_file!("src/store/sql/find_by_ids.sql", ids).fetch_all(executor).await?;
    Ok(rows
        .into_iter()
        .map(|row| Found {
            id: row.event_id,
            position: row.position,
            stream: StreamId {
                tenant: row.tenant_id,
                aggregate: row.aggregate_name,
                id: row.aggregate_id,
            },
            version: row.version,
            event_type: row.event_type,
        })
        .collect())
}

/// An event that others can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCause {
    /// Its place in the log.
    pub position: i64,
    /// How long the chain of causes is that led to it, where there is one.
    pub chain: Option<i32>,
    /// Its trace, where it has one.
    pub trace: Option<TraceContext>,
}

/// The events at these positions as causes, of those that have a chain of causes or a trace.
///
/// # Errors
/// The database's.
pub async fn causes(
    executor: impl PgExecutor<'_>,
    positions: &[i64],
) -> sqlx::Result<Vec<KnownCause>> {
    let rows =
        sqlx::query_file!("src/store/sql/event_chains.sql", positions).fetch_all(executor).await?;
    let cause = rows.into_iter().map(|row| KnownCause {
        position: row.position,
        chain: row.length,
        trace: row.traceparent.and_then(|parent| trace::stored(&parent, row.tracestate.as_deref())),
    });
    Ok(cause.collect())
}

/// Notes how long the chain of causes is that led to the events at these positions.
///
/// # Errors
/// The database's.
pub async fn note_chain(
    executor: impl PgExecutor<'_>,
    positions: &[i64],
    length: i32,
) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/sql/event_chain_note.sql", positions, length)
        .execute(executor)
        .await?;
    Ok(())
}
