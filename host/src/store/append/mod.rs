//! Appending events.

mod columns;
mod earlier;
mod group;
mod limit;
mod once;
mod prepared;
mod within;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

pub(super) use self::group::Groups;
pub use self::limit::{APPEND_TIMEOUT, Deadline};
use self::prepared::Prepared;
pub use self::within::{Found, KnownCause, causes, find_events, note_chain};
use super::inline::Epoch;
use super::{EventStore, StoreError, partition, seal, trace};
use crate::db::{Connections, Source as _, Tx};
use crate::event::{Event, ExpectedVersion, NewEvent, StreamId, TenantId};

/// How often an append reads the set of inline plugins anew, or makes the partition that it lacks,
/// before it gives up.
const REFRESHES: usize = 5;

/// Events for one stream, with what the writer believes of it.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where to.
    pub stream: StreamId,
    /// What the writer believes of the stream.
    pub expected: ExpectedVersion,
    /// The label of the events in the outbox.
    pub topic: Option<String>,
    /// At least one.
    pub events: Vec<NewEvent>,
}

impl Append {
    /// Checks what can be checked without the database, as an append does.
    ///
    /// # Errors
    /// [`StoreError::InvalidAppend`] and [`StoreError::InvalidEvent`].
    pub fn checked(append: Self) -> Result<Self, StoreError> {
        Prepared::new(vec![append.clone()])?;
        Ok(append)
    }

    /// The events of appends as an empty log would have them: positions and versions from 1. An event that
    /// does not say when it happened did so at the beginning of 1970. Nothing is written: this is for trials.
    ///
    /// # Errors
    /// As [`Append::checked`].
    pub fn in_empty_log(appends: Vec<Self>) -> Result<Vec<Event>, StoreError> {
        let prepared = Prepared::new(appends)?;
        let written = (1..).zip(&prepared.new).map(|(position, new)| AppendedEvent {
            id: new.id,
            position,
            version: new.nth,
            occurred_at: new.occurred_at.unwrap_or_default(),
        });
        let appended = Appended { events: written.collect(), repeated: false };
        Ok(prepared.events(&appended))
    }
}

/// What an append has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// In the order in which they were given.
    pub events: Vec<AppendedEvent>,
    /// The events were in the log already, from an earlier append with the same ids.
    pub repeated: bool,
}

/// One event of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct AppendedEvent {
    /// Its id, made or given.
    pub id: Uuid,
    /// Its place in the log.
    pub position: i64,
    /// Its place in its stream.
    pub version: i32,
    /// When it happened, as stored.
    pub occurred_at: DateTime<Utc>,
}

/// Work of the caller in the transaction of an append.
pub trait InTransaction: Send + Sync {
    /// Runs after the events are inserted and the inline plugins have run, and before the commit.
    /// It runs again when the append is tried anew, never after a commit, and not at all for an
    /// append that was made before.
    ///
    /// # Errors
    /// Any error undoes the append and is its answer.
    fn run<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        events: &'a [Event],
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl EventStore {
    /// Appends events to one stream.
    ///
    /// Without inline plugins it is one statement and one round trip. Appending the same event ids
    /// again changes nothing and answers as the first time, with [`Appended::repeated`] set,
    /// whatever the expected version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the stream is not as expected, [`StoreError::Inline`] when an
    /// inline plugin refuses an event; nothing is written then.
    pub async fn append(
        &self,
        stream: StreamId,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> Result<Appended, StoreError> {
        self.append_all(vec![Append { stream, expected, topic: None, events }]).await
    }

    /// Appends events to several streams, all or none, in the order given.
    ///
    /// # Errors
    /// As [`EventStore::append`].
    pub async fn append_all(&self, mut appends: Vec<Append>) -> Result<Appended, StoreError> {
        let span = trace::begin(&mut appends);
        let append = async {
            let prepared = Prepared::new(appends)?;
            let deadline = Deadline::of(self.append_timeout);
            match &self.groups {
                Some(groups) => groups.append(self, prepared, deadline).await,
                None => self.append_prepared(&prepared, None, deadline).await,
            }
        };
        let appended = span.within(append).await;
        trace::end(&span, &appended);
        appended
    }

    /// The same, with work of the caller in the transaction.
    ///
    /// # Errors
    /// As [`EventStore::append`], and those of the work.
    pub async fn append_in_transaction(
        &self,
        mut appends: Vec<Append>,
        work: &dyn InTransaction,
    ) -> Result<Appended, StoreError> {
        let span = trace::begin(&mut appends);
        let append = async {
            let deadline = Deadline::of(self.append_timeout);
            self.append_prepared(&Prepared::new(appends)?, Some(work), deadline).await
        };
        let appended = span.within(append).await;
        trace::end(&span, &appended);
        appended
    }

    async fn append_prepared(
        &self,
        prepared: &Prepared,
        work: Option<&dyn InTransaction>,
        deadline: Deadline,
    ) -> Result<Appended, StoreError> {
        for tries in (1..=REFRESHES).rev() {
            let known = match self.known_for(prepared) {
                Ok(known) => known,
                // (What does not fit may fit the schemas of now.)
                Err(_) if self.schemas.refresh(&self.pool).await? => continue,
                Err(unfit) => return self.find_earlier(prepared, &unfit).await?.ok_or(unfit),
            };
            match self.try_append(prepared, known, work, deadline).await {
                Ok(appended) => {
                    self.wake.hint();
                    return Ok(appended);
                }
                Err(Refused::Error(StoreError::Database(error)))
                    if partition::is_missing(&error) && tries > 1 =>
                {
                    partition::make_room(&self.pool, prepared.new.len()).await?;
                }
                Err(Refused::Error(error)) => {
                    let error = deadline.judge(error);
                    if let Some(earlier) = self.find_earlier(prepared, &error).await? {
                        return Ok(earlier);
                    }
                    return Err(error);
                }
                Err(Refused::OtherSchemas) => {
                    self.schemas.refresh(&self.pool).await?;
                }
                Err(Refused::OtherInline) => self.refresh_inline().await?,
            }
        }
        Err(keeps_changing())
    }

    /// Reads the inline plugins anew, after an append has found that they have changed.
    async fn refresh_inline(&self) -> Result<(), StoreError> {
        let inline = self.inline.as_ref().ok_or(StoreError::InlineMissing)?;
        inline.refresh().await.map_err(|error| {
            StoreError::InlineUnavailable(format!(
                "cannot load the inline plugins of the database: {error:#}"
            ))
        })
    }

    /// Which of these event ids are in the log.
    pub async fn known_ids(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let rows =
            sqlx::query_file!("src/store/sql/find_by_ids.sql", ids).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| row.event_id).collect())
    }

    /// Which of these event ids are in the log as events of this tenant.
    pub(super) async fn known_ids_of(
        &self,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> Result<Vec<Uuid>, StoreError> {
        let rows =
            sqlx::query_file!("src/store/sql/find_by_ids.sql", ids).fetch_all(&self.pool).await?;
        let own = rows.into_iter().filter(|row| row.tenant_id == tenant.as_str());
        Ok(own.map(|row| row.event_id).collect())
    }

    /// What this append is made with: its events are checked against the schemas.
    fn known_for(&self, prepared: &Prepared) -> Result<Known, StoreError> {
        let inline = self.inline_epoch();
        Ok(Known { inline, schemas: prepared.check(&self.schemas)? })
    }

    fn inline_epoch(&self) -> Epoch {
        self.inline.as_ref().map(|inline| inline.epoch()).unwrap_or_default()
    }

    async fn try_append(
        &self,
        prepared: &Prepared,
        known: Known,
        work: Option<&dyn InTransaction>,
        deadline: Deadline,
    ) -> Result<Appended, Refused> {
        if known.inline.is_empty
            && prepared.streams.len() == 1
            && work.is_none()
            && self.seal.is_none()
        {
            // The guard is in the statement, so it can be its own transaction.
            let mut conn = deadline.within(CONNECTION, self.connections.lend()).await??;
            // The statement itself says how long it waits for a lock.
            let patience = Some(deadline.patience());
            return match deadline.answer(prepared.insert(&mut conn, known, patience)).await {
                Ok(answer) => {
                    let failed = matches!(answer, Err(Refused::Error(StoreError::Database(_))));
                    if !failed {
                        conn.keep();
                    }
                    answer
                }
                Err(unanswered) => {
                    conn.close_on_drop();
                    Err(Refused::Error(unanswered))
                }
            };
        }
        // Given up at any moment, a transaction ends with its connection.
        deadline.answer(self.try_in_transaction(prepared, known, work, deadline)).await?
    }

    async fn try_in_transaction(
        &self,
        prepared: &Prepared,
        known: Known,
        work: Option<&dyn InTransaction>,
        deadline: Deadline,
    ) -> Result<Appended, Refused> {
        let mut tx = begin(&self.connections, deadline).await?;
        let patience = Some(deadline.patience());
        let appended = match prepared.insert(tx.conn(), known, patience).await {
            Ok(appended) => appended,
            Err(refused) => {
                tx.rollback().await?;
                return Err(refused);
            }
        };
        self.seal(&mut tx, &appended.events).await?;
        if let (false, Some(inline)) = (known.inline.is_empty, &self.inline) {
            let events = prepared.events(&appended);
            if let Err(failure) = inline.run(&mut tx, known.inline.number, &events, deadline).await
            {
                give_back(tx).await;
                return Err(match failure.outdated {
                    true => Refused::OtherInline,
                    false => Refused::Error(failure.into()),
                });
            }
        }
        if let Some(work) = work {
            let events = prepared.events(&appended);
            let worked = deadline.within(WORK, work.run(tx.conn(), &events)).await?;
            if let Err(error) = worked {
                give_back(tx).await;
                return Err(Refused::Error(error));
            }
        }
        tx.commit().await?;
        Ok(appended)
    }
}

impl EventStore {
    /// Seals what this transaction has written, where there is a key to do so.
    async fn seal(&self, tx: &mut Tx, events: &[AppendedEvent]) -> sqlx::Result<()> {
        let Some(key) = &self.seal else { return Ok(()) };
        let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
        seal::seal(key, tx.conn(), &positions).await
    }
}

/// Why an append gives up that has met another state each time.
fn keeps_changing() -> StoreError {
    StoreError::InlineUnavailable(format!(
        "the inline plugins or the schemas changed {REFRESHES} times during one append; try again"
    ))
}

/// What an append can be doing when its time is over.
const CONNECTION: &str = "no connection to the database became free";
const WORK: &str = "the caller's work in its transaction took too long";

/// Begins the transaction of an append, in which no statement may take longer than what is left.
async fn begin(connections: &Connections, deadline: Deadline) -> Result<Tx, StoreError> {
    let begin = Tx::begin(connections, deadline.for_statement());
    Ok(deadline.within(CONNECTION, begin).await??)
}

/// What an append is made with; its statement writes nothing where the database has something else.
#[derive(Clone, Copy)]
struct Known {
    inline: Epoch,
    /// The state of the schemas that the events were checked against.
    schemas: i64,
}

/// Rolls back what has failed.
async fn give_back(tx: Tx) {
    if let Err(error) = tx.rollback().await {
        tracing::debug!(%error, "an append was not rolled back by hand");
    }
}

/// Why nothing was written.
enum Refused {
    Error(StoreError),
    /// The database has other inline plugins than the writer knows.
    OtherInline,
    /// The database has other schemas than the writer knows.
    OtherSchemas,
}

impl<E: Into<StoreError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}
