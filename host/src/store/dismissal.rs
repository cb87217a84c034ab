//! Dismissing events: they stay in the log, and reads and deliveries leave them out.
//!
//! What goes with it (the record, the queues, the snapshots) is done by a trigger, so that it is the
//! same whichever program dismisses. `docs/dismissal.md` tells what that means for projections.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::load::places;
use super::{EventStore, StoreError};
use crate::db::Tx;

/// How long a dismissal waits for the workers that deliver its events at that moment.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of the reason of a dismissal.
const MAX_REASON: usize = 10_000;
/// Bytes of the name of who dismisses.
const MAX_NAME: usize = 512;

/// Names one event of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventRef {
    /// By its place in the log.
    Position(i64),
    /// By its id.
    Id(Uuid),
}

/// One dismissal, as the record has it.
#[derive(Debug, Clone, Serialize)]
pub struct Dismissal {
    /// Its place in the record.
    pub number: i64,
    /// The place of the event in the log.
    pub position: i64,
    /// The tenant of the event.
    pub tenant: String,
    /// The id of the event; this and what follows is none when the event was taken out of the log.
    pub event_id: Option<Uuid>,
    /// The kind of its aggregate.
    pub aggregate: Option<String>,
    /// Its aggregate.
    pub aggregate_id: Option<String>,
    /// Its place in the stream.
    pub version: Option<i32>,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Why it was dismissed.
    pub reason: Option<String>,
    /// Who dismissed it.
    pub dismissed_by: Option<String>,
    /// When.
    pub dismissed_at: DateTime<Utc>,
    /// Who has taken that back, if somebody has.
    pub undone_by: Option<String>,
    /// When.
    pub undone_at: Option<DateTime<Utc>>,
    /// Deliveries that wait for the end of this dismissal: its row of the outbox, and what single
    /// projections were to try again.
    pub held: i64,
}

/// Which dismissals to list.
#[derive(Debug, Clone, Default)]
pub struct DismissalFilter {
    /// Only of this event.
    pub event: Option<EventRef>,
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only those before this number; the last one of a page begins the next.
    pub before: Option<i64>,
    /// Those that were undone, too.
    pub history: bool,
}

impl EventStore {
    /// Dismisses events, all or none: from now on reads and deliveries leave them out. Versions and
    /// positions stay taken, and what was delivered before stays as it is. Waits for workers that
    /// deliver one of the events at this moment.
    ///
    /// # Errors
    /// [`StoreError::UnknownEvents`]; [`StoreError::InvalidDismissal`] without a reason or a name, and
    /// where an event is dismissed already; [`StoreError::Database`].
    pub async fn dismiss(
        &self,
        events: &[EventRef],
        reason: &str,
        by: &str,
    ) -> Result<Vec<Dismissal>, StoreError> {
        self.dismiss_of(None, events, reason, by).await
    }

    /// Takes dismissals back, all or none. What was to be delivered is delivered now; catch-up
    /// projections that have passed the event do not get it before they are rebuilt.
    ///
    /// # Errors
    /// [`StoreError::UnknownEvents`]; [`StoreError::InvalidDismissal`] without a name, and where an
    /// event is not dismissed; [`StoreError::Database`].
    pub async fn undo_dismissal(
        &self,
        events: &[EventRef],
        by: &str,
    ) -> Result<Vec<Dismissal>, StoreError> {
        self.undo_dismissal_of(None, events, by).await
    }

    /// The record of dismissals, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::UnknownEvents`] where the filter names an event that is not in the log;
    /// [`StoreError::Database`].
    pub async fn dismissals(
        &self,
        filter: &DismissalFilter,
        limit: usize,
    ) -> Result<Vec<Dismissal>, StoreError> {
        let positions = match filter.event {
            None => None,
            Some(EventRef::Position(position)) => Some(vec![position]),
            Some(EventRef::Id(id)) => {
                let found = self.ids_of(filter.tenant.as_deref(), &[id]).await?;
                Some(found.iter().map(|event| event.position).collect())
            }
        };
        record(&self.pool, positions.as_deref(), filter, limit).await
    }

    pub(super) async fn dismiss_of(
        &self,
        tenant: Option<&str>,
        events: &[EventRef],
        reason: &str,
        by: &str,
    ) -> Result<Vec<Dismissal>, StoreError> {
        said("a reason", reason, MAX_REASON)?;
        said("who dismisses", by, MAX_NAME)?;
        self.in_transaction(async |conn| {
            let found = find(conn, tenant, events).await?;
            if let Some(event) = found.iter().find(|event| event.dismissed_at.is_some()) {
                return Err(StoreError::InvalidDismissal(event.dismissed_already()));
            }
            let positions: Vec<i64> = found.iter().map(|event| event.position).collect();
            sqlx::query_file!("src/store/sql/dismissal_unpark.sql", &positions)
                .fetch_one(&mut *conn)
                .await?;
            sqlx::query_file!("src/store/sql/dismissal_wait.sql", &positions)
                .fetch_one(&mut *conn)
                .await?;
            sqlx::query_file!("src/store/sql/dismiss.sql", &positions, reason, by)
                .execute(&mut *conn)
                .await?;
            record(conn, Some(&positions), &DismissalFilter::default(), positions.len()).await
        })
        .await
    }

    pub(super) async fn undo_dismissal_of(
        &self,
        tenant: Option<&str>,
        events: &[EventRef],
        by: &str,
    ) -> Result<Vec<Dismissal>, StoreError> {
        said("who takes the dismissal back", by, MAX_NAME)?;
        let undone = self
            .in_transaction(async |conn| {
                let found = find(conn, tenant, events).await?;
                if let Some(event) = found.iter().find(|event| event.dismissed_at.is_none()) {
                    let why = format!("event {} is not dismissed", event.position);
                    return Err(StoreError::InvalidDismissal(why));
                }
                let positions: Vec<i64> = found.iter().map(|event| event.position).collect();
                let standing = DismissalFilter::default();
                let before =
                    record(&mut *conn, Some(&positions), &standing, positions.len()).await?;
                sqlx::query_file!("src/store/sql/dismissal_undo.sql", &positions)
                    .execute(&mut *conn)
                    .await?;
                sqlx::query_file!("src/store/sql/dismissal_undone_by.sql", &positions, by)
                    .execute(&mut *conn)
                    .await?;
                let all = DismissalFilter { history: true, ..standing };
                let numbers: Vec<i64> = before.iter().map(|dismissal| dismissal.number).collect();
                let mut undone = record(conn, Some(&positions), &all, usize::MAX).await?;
                undone.retain(|dismissal| numbers.contains(&dismissal.number));
                Ok(undone)
            })
            .await?;
        self.wake.hint();
        Ok(undone)
    }

    async fn in_transaction<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tx = Tx::begin(&self.pool, STATEMENT_TIMEOUT).await?;
        match work(tx.conn()).await {
            Ok(done) => {
                tx.commit().await?;
                Ok(done)
            }
            Err(error) => {
                if let Err(error) = tx.rollback().await {
                    tracing::debug!(%error, "a dismissal was not rolled back by hand");
                }
                Err(error)
            }
        }
    }
}

/// An event that is to be dismissed or given back, locked.
struct Found {
    position: i64,
    event_id: Uuid,
    dismissed_at: Option<DateTime<Utc>>,
    dismissed_by: Option<String>,
    dismissed_reason: Option<String>,
}

impl Found {
    fn dismissed_already(&self) -> String {
        let at =
            self.dismissed_at.map_or_else(String::new, |at| format!(" at {}", at.to_rfc3339()));
        let by = self.dismissed_by.as_deref().unwrap_or("somebody");
        let reason = self.dismissed_reason.as_deref().unwrap_or("no reason given");
        format!("event {} was dismissed by {by}{at} already: {reason}", self.position)
    }
}

async fn find(
    conn: &mut PgConnection,
    tenant: Option<&str>,
    events: &[EventRef],
) -> Result<Vec<Found>, StoreError> {
    if events.is_empty() {
        return Err(StoreError::InvalidDismissal("name at least one event".to_owned()));
    }
    let (mut positions, mut ids) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            EventRef::Position(position) => positions.push(*position),
            EventRef::Id(id) => ids.push(*id),
        }
    }
    positions.extend(places(&mut *conn, &ids).await?.into_values());
    let found = sqlx::query_file_as!(
        Found,
        "src/store/sql/dismissal_find.sql",
        &positions,
        tenant as Option<&str>
    )
    .fetch_all(conn)
    .await?;
    let known = |event: &&EventRef| match event {
        EventRef::Position(position) => found.iter().any(|row| row.position == *position),
        EventRef::Id(id) => found.iter().any(|row| row.event_id == *id),
    };
    let missing: Vec<String> =
        events.iter().filter(|event| !known(event)).map(EventRef::to_string).collect();
    match missing.is_empty() {
        true => Ok(found),
        false => Err(StoreError::UnknownEvents { missing }),
    }
}

async fn record(
    executor: impl PgExecutor<'_>,
    positions: Option<&[i64]>,
    filter: &DismissalFilter,
    limit: usize,
) -> Result<Vec<Dismissal>, StoreError> {
    let found = sqlx::query_file_as!(
        Dismissal,
        "src/store/sql/dismissals.sql",
        positions as Option<&[i64]>,
        filter.tenant.as_deref() as Option<&str>,
        filter.before as Option<i64>,
        filter.history,
        i64::try_from(limit).unwrap_or(i64::MAX)
    );
    Ok(found.fetch_all(executor).await?)
}

fn said(what: &str, text: &str, most: usize) -> Result<(), StoreError> {
    let wrong = if text.trim().is_empty() {
        format!("a dismissal says {what}")
    } else if text.len() > most {
        format!("{what}: at most {most} bytes; this has {}", text.len())
    } else if text.contains('\0') {
        format!("{what}: holds NUL, which the database cannot store")
    } else {
        return Ok(());
    };
    Err(StoreError::InvalidDismissal(wrong))
}

impl From<i64> for EventRef {
    fn from(position: i64) -> Self {
        Self::Position(position)
    }
}

impl From<Uuid> for EventRef {
    fn from(id: Uuid) -> Self {
        Self::Id(id)
    }
}

impl std::fmt::Display for EventRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Position(position) => write!(f, "{position}"),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

/// What is neither a position nor an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("name an event by its position or its id")]
pub struct InvalidEventRef;

impl FromStr for EventRef {
    type Err = InvalidEventRef;

    fn from_str(text: &str) -> Result<Self, InvalidEventRef> {
        let position = text.parse().map(Self::Position);
        position.or_else(|_| text.parse().map(Self::Id)).map_err(|_| InvalidEventRef)
    }
}
