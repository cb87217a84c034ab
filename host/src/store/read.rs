//! Reading streams and the log.

use std::pin::pin;

use futures::stream::{self, Stream, TryStreamExt as _};
use sqlx::PgExecutor;

use super::row::EventRow;
use super::{EventStore, StoreError};
use crate::event::{Event, MAX_VERSION, Shard, StreamId};

/// Events that a read holds in memory at a time.
pub(super) const PAGE: i64 = 500;
/// Bytes of payload after which a page ends early.
pub(crate) const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// A page of the log, or of a stream.
#[derive(Debug, Default)]
pub struct Page {
    /// In the order in which they were read.
    pub events: Vec<Event>,
    /// There can be more that matches: the page ended at its limit.
    pub full: bool,
}

/// Which way to read a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Which events of the log to read.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Only events after this position; 0 for all.
    pub after: i64,
    /// Only events up to this position.
    pub until: Option<i64>,
    /// Only these types; empty for all.
    pub types: Vec<String>,
    /// Only these kinds of aggregate; empty for all.
    pub aggregates: Vec<String>,
    /// Only this tenant.
    pub tenant: Option<String>,
    /// Dismissed events, too.
    pub dismissed: bool,
    /// Only streams of this shard.
    pub shard: Shard,
}

impl EventStore {
    /// Reads a stream from a version on, page by page: `from` is the first version of a forward
    /// read and the greatest of a backward one (`None`: from the end that it begins at). Dismissed
    /// events are left out.
    pub fn read_stream(
        &self,
        stream: StreamId,
        direction: Direction,
        from: Option<i32>,
    ) -> impl Stream<Item = Result<Event, StoreError>> + Send + 'static {
        self.stream_from(stream, direction, from, false)
    }

    /// The same with dismissed events, which [`Event::dismissed_at`] tells from the others.
    pub fn read_stream_with_dismissed(
        &self,
        stream: StreamId,
        direction: Direction,
        from: Option<i32>,
    ) -> impl Stream<Item = Result<Event, StoreError>> + Send + 'static {
        self.stream_from(stream, direction, from, true)
    }

    fn stream_from(
        &self,
        stream: StreamId,
        direction: Direction,
        from: Option<i32>,
        dismissed: bool,
    ) -> impl Stream<Item = Result<Event, StoreError>> + Send + 'static {
        let pool = self.pool.clone();
        let start = from.unwrap_or(match direction {
            Direction::Forward => 1,
            Direction::Backward => MAX_VERSION,
        });
        pages(Some(start), move |from: i32| {
            let (pool, stream) = (pool.clone(), stream.clone());
            async move {
                let page = stream_page(&pool, &stream, direction, from, PAGE, dismissed).await?;
                let next = page.events.last().and_then(|event| match direction {
                    Direction::Forward => event.version.checked_add(1),
                    Direction::Backward => Some(event.version - 1).filter(|version| *version > 0),
                });
                Ok((page.events, next.filter(|_| page.full)))
            }
        })
    }

    /// One page of a stream, from a version on: at most `limit` events, and some 16 MiB of payload;
    /// `dismissed` ones among them or not.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_page(
        &self,
        stream: &StreamId,
        direction: Direction,
        from: i32,
        limit: i64,
        dismissed: bool,
    ) -> Result<Page, StoreError> {
        stream_page(&self.pool, stream, direction, from, limit, dismissed).await
    }

    /// The version of a stream's last event; none where it was never appended to.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_version(&self, stream: &StreamId) -> Result<Option<i32>, StoreError> {
        let row = sqlx::query_file!(
            "src/store/sql/stream_version.sql",
            stream.tenant,
            stream.aggregate,
            stream.id
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| row.current_version))
    }

    /// Reads the log page by page, in the order of positions, up to what is visible when a page is
    /// read. Near the end an event with a smaller position can still appear; what must see every
    /// event reads up to the [`super::SafeHead`].
    pub fn read_log(
        &self,
        filter: LogFilter,
    ) -> impl Stream<Item = Result<Event, StoreError>> + Send + 'static {
        let pool = self.pool.clone();
        pages(Some(filter.after), move |after: i64| {
            let (pool, filter) = (pool.clone(), filter.clone());
            async move {
                let page = log_page(&pool, &LogFilter { after, ..filter }, PAGE).await?;
                let last = page.events.last().map(|event| event.position);
                Ok((page.events, last.filter(|_| page.full)))
            }
        })
    }
}

/// Turns a reader of pages into a stream of events that asks for a page when it has run out.
pub(super) fn pages<K, F, R>(
    start: Option<K>,
    read: F,
) -> impl Stream<Item = Result<Event, StoreError>> + Send + 'static
where
    K: Send + 'static,
    F: Fn(K) -> R + Send + 'static,
    R: Future<Output = Result<(Vec<Event>, Option<K>), StoreError>> + Send,
{
    stream::try_unfold((start, read), |(from, read)| async move {
        let Some(from) = from else { return Ok(None) };
        let (page, next) = read(from).await?;
        Ok::<_, StoreError>(Some((stream::iter(page.into_iter().map(Ok)), (next, read))))
    })
    .try_flatten()
}

/// The same for any connection: see [`EventStore::stream_page`].
///
/// # Errors
/// The database's.
pub async fn stream_page(
    executor: impl PgExecutor<'_>,
    stream: &StreamId,
    direction: Direction,
    from: i32,
    limit: i64,
    dismissed: bool,
) -> Result<Page, StoreError> {
    match direction {
        Direction::Forward => {
            let rows = sqlx::query_file_as!(
                EventRow,
                "src/store/sql/read_stream_forward.sql",
                stream.tenant,
                stream.aggregate,
                stream.id,
                from,
                limit,
                dismissed
            );
            page_of(rows.fetch(executor), limit).await
        }
        Direction::Backward => {
            let rows = sqlx::query_file_as!(
                EventRow,
                "src/store/sql/read_stream_backward.sql",
                stream.tenant,
                stream.aggregate,
                stream.id,
                from,
                limit,
                dismissed
            );
            page_of(rows.fetch(executor), limit).await
        }
    }
}

/// One page of the log: at most `limit` events that match, in the order of positions, and some
/// [`PAGE_BYTES`] of payload.
pub async fn log_page(
    executor: impl PgExecutor<'_>,
    filter: &LogFilter,
    limit: i64,
) -> Result<Page, StoreError> {
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let rows = sqlx::query_file_as!(
        EventRow,
        "src/store/sql/read_log.sql",
        filter.after,
        filter.until.unwrap_or(i64::MAX),
        limit,
        some(&filter.types) as Option<Vec<String>>,
        some(&filter.aggregates) as Option<Vec<String>>,
        filter.tenant.clone() as Option<String>,
        filter.dismissed,
        (!filter.shard.is_all()).then_some(filter.shard.count) as Option<i32>,
        filter.shard.index
    )
    .fetch(executor);
    page_of(rows, limit).await
}

/// Takes a page from the rows that a statement answers, whose limit is `limit`.
pub(super) async fn page_of(
    rows: impl Stream<Item = sqlx::Result<EventRow>>,
    limit: i64,
) -> Result<Page, StoreError> {
    let mut rows = pin!(rows);
    let (mut page, mut bytes) = (Page::default(), 0);
    while let Some(row) = rows.try_next().await? {
        bytes += row.payload.len();
        page.events.push(row.into_event()?);
        if bytes >= PAGE_BYTES {
            page.full = true;
            return Ok(page);
        }
    }
    page.full = !page.events.is_empty() && page.events.len() as i64 == limit;
    Ok(page)
}
