//! Looks whether the log is what was sealed. Reads pages: its memory does not grow with the log.

use std::fmt;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use sqlx::{PgConnection, PgPool};

use super::Seal;
use super::stream::{Chain, Row};
use crate::event::StreamId;

/// Versions of a stream that are read at a time.
const VERSIONS: i64 = 500;
/// Streams whose names are read at a time.
const STREAMS: i64 = 500;
/// Streams that are looked at at the same time.
const AT_ONCE: usize = 4;
/// Streams without a row in `stream_versions` that are looked into.
const STRAYS: i64 = 10_000;

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Problem {
    /// It is not what was sealed.
    Changed,
    /// It was there and is not.
    Removed,
    /// It was not there: a second event of its version, or one beyond the end of its stream.
    Inserted,
    /// It lies beyond the version that `stream_versions` has for its stream, and yet is sealed.
    Unversioned,
    /// It was sealed, and its seal is gone: nothing can be said of it and of the next sealed event.
    SealMissing,
    /// It was sealed under a key that is not among those given.
    UnknownKey(String),
    /// It was the head of its stream once, and has another seal now.
    OtherHead,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("changed"),
            Self::Removed => f.write_str("removed"),
            Self::Inserted => f.write_str("inserted"),
            Self::Unversioned => {
                f.write_str("beyond the version that stream_versions has for its stream")
            }
            Self::SealMissing => f.write_str("its seal was removed"),
            Self::UnknownKey(id) => write!(f, "sealed with the key {id}, which was not given"),
            Self::OtherHead => {
                f.write_str("not the event that was here when the heads were written")
            }
        }
    }
}

/// An event that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: i32,
    /// What is wrong.
    pub problem: Problem,
}

/// The newest sealed event of a stream. Kept where who can write to the database can't, it shows that
/// events up to it have not been cut off.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The stream's tenant.
    pub tenant: String,
    /// The kind of aggregate.
    pub aggregate: String,
    /// Which aggregate.
    pub id: String,
    /// The event's version.
    pub version: i32,
    /// Its seal, in hexadecimal.
    pub seal: String,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Streams.
    pub streams: u64,
    /// Events, sealed or not.
    pub events: u64,
    /// Events that have no seal: older than the seals, or by a writer without the key.
    pub unsealed: u64,
    /// Sealed events in detached partitions, of which only the seals are there.
    pub detached: u64,
    /// Events that are not as they were.
    pub findings: u64,
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.streams += other.streams;
        self.events += other.events;
        self.unsealed += other.unsealed;
        self.detached += other.detached;
        self.findings += other.findings;
    }
}

/// What a look at one stream has shown.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its numbers.
    pub summary: Summary,
    /// What is wrong, at most a page of it.
    pub findings: Vec<Finding>,
    /// The end of its chain.
    pub head: Option<Head>,
}

/// Looks at all streams, and calls `seen` for each of them, in no particular order.
///
/// # Errors
/// When the database can't be read, or what `seen` answers.
pub async fn verify<E: From<sqlx::Error>>(
    pool: &PgPool,
    seal: &Seal,
    mut seen: impl FnMut(&Seen) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut total = Summary::default();
    let mut after = (String::new(), String::new(), String::new());
    loop {
        let page = sqlx::query_file_as!(
            Named,
            "src/store/seal/sql/streams.sql",
            after.0,
            after.1,
            after.2,
            STREAMS
        )
        .fetch_all(pool)
        .await?;
        let Some(last) = page.last() else { break };
        after = (last.tenant.clone(), last.aggregate.clone(), last.id.clone());
        look_at(pool, seal, page, &mut total, &mut seen).await?;
    }
    let strays = sqlx::query_file_as!(Named, "src/store/seal/sql/strays.sql", STRAYS)
        .fetch_all(pool)
        .await?;
    look_at(pool, seal, strays, &mut total, &mut seen).await?;
    Ok(total)
}

/// A stream by its columns.
struct Named {
    tenant: String,
    aggregate: String,
    id: String,
}

async fn look_at<E: From<sqlx::Error>>(
    pool: &PgPool,
    seal: &Seal,
    streams: Vec<Named>,
    total: &mut Summary,
    seen: &mut impl FnMut(&Seen) -> Result<(), E>,
) -> Result<(), E> {
    let mut looks = stream::iter(streams)
        .map(|Named { tenant, aggregate, id }| async move {
            verify_stream(pool, seal, &StreamId { tenant, aggregate, id }).await
        })
        .buffer_unordered(AT_ONCE);
    while let Some(one) = looks.try_next().await? {
        total.add(one.summary);
        seen(&one)?;
    }
    Ok(())
}

/// Looks at one stream.
///
/// # Errors
/// When the database can't be read.
pub async fn verify_stream(pool: &PgPool, seal: &Seal, stream: &StreamId) -> sqlx::Result<Seen> {
    // One state of the database for all that follows: appends go on.
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let seen = look(&mut tx, seal, stream).await?;
    tx.commit().await?;
    Ok(seen)
}

impl Head {
    /// Whether the event is still there with this seal.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn check(&self, pool: &PgPool) -> sqlx::Result<Option<Finding>> {
        let row = sqlx::query_file!(
            "src/store/seal/sql/seal_of.sql",
            self.tenant,
            self.aggregate,
            self.id,
            self.version
        )
        .fetch_optional(pool)
        .await?;
        let problem = match row {
            None => Problem::Removed,
            Some(row) if hex::encode(&row.mac) != self.seal => Problem::OtherHead,
            Some(_) => return Ok(None),
        };
        let (tenant, aggregate, id) =
            (self.tenant.clone(), self.aggregate.clone(), self.id.clone());
        let stream = StreamId { tenant, aggregate, id };
        Ok(Some(Finding { stream, version: self.version, problem }))
    }
}

/// Findings of one stream that are told one by one; the rest is counted.
const TOLD: usize = 1000;

async fn look(conn: &mut PgConnection, seal: &Seal, stream: &StreamId) -> sqlx::Result<Seen> {
    let row = sqlx::query_file!(
        "src/store/seal/sql/stream.sql",
        stream.tenant,
        stream.aggregate,
        stream.id
    )
    .fetch_optional(&mut *conn)
    .await?;
    let current_version = row.map_or(0, |row| row.current_version);
    let mut seen = Seen::default();
    let mut chain = Chain::new(seal, stream);
    loop {
        let page = sqlx::query_file_as!(
            Row,
            "src/store/seal/sql/page.sql",
            stream.tenant,
            stream.aggregate,
            stream.id,
            chain.version,
            VERSIONS
        )
        .fetch_all(&mut *conn)
        .await?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            if row.version > chain.version + 1 {
                let (from, to) = (chain.version + 1, row.version - 1);
                if missing(conn, stream, from, to, &mut seen).await? {
                    chain.gap(from, to);
                }
            }
            for (version, problem) in chain.next(row) {
                note(&mut seen, stream, version, problem);
            }
            if row.version > current_version && row.position.is_some() {
                let problem = match row.mac {
                    Some(_) => Problem::Unversioned,
                    None => Problem::Inserted,
                };
                note(&mut seen, stream, row.version, problem);
            }
        }
    }
    if current_version > chain.version {
        missing(conn, stream, chain.version + 1, current_version, &mut seen).await?;
    }
    seen.summary.streams = 1;
    seen.summary.events = chain.events;
    seen.summary.unsealed = chain.unsealed;
    seen.summary.detached += chain.detached;
    seen.head = chain.head();
    Ok(seen)
}

/// Versions without event and seal: in a detached partition, or removed. Answers the latter.
async fn missing(
    conn: &mut PgConnection,
    stream: &StreamId,
    from: i32,
    to: i32,
    seen: &mut Seen,
) -> sqlx::Result<bool> {
    let row = sqlx::query_file!(
        "src/store/seal/sql/detached.sql",
        stream.tenant,
        stream.aggregate,
        stream.id,
        from,
        to
    )
    .fetch_one(conn)
    .await?;
    if row.count == i64::from(to - from) + 1 {
        seen.summary.detached += row.count.unsigned_abs();
        return Ok(false);
    }
    let told = from..=to.min(from.saturating_add(TOLD as i32));
    seen.summary.findings += u64::from(to.abs_diff(*told.end()));
    for version in told {
        note(seen, stream, version, Problem::Removed);
    }
    Ok(true)
}

fn note(seen: &mut Seen, stream: &StreamId, version: i32, problem: Problem) {
    seen.summary.findings += 1;
    if seen.findings.len() < TOLD {
        seen.findings.push(Finding { stream: stream.clone(), version, problem });
    }
}
