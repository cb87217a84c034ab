//! The log as a process manager reaches it. What it is, somebody else knows: see [`EventLog`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::db::Tx;
use crate::event::{Event, ExpectedVersion, NewEvent, StreamId};
use crate::sandbox::SqlError;
use crate::trace::TraceContext;

/// Streams of the log, in the transaction in which a batch is handled.
pub trait EventLog: Send + Sync {
    /// What is to be known before a batch reaches the log: of its events at these positions, and of their
    /// first answers, which would have these ids.
    fn known<'a>(
        &'a self,
        tx: &'a mut Tx,
        plugin: &'a str,
        causes: &'a [i64],
        first: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Known, LogError>>;

    /// Events of a stream after a version, dismissed ones among them, and whether there are more.
    fn read<'a>(
        &'a self,
        tx: &'a mut Tx,
        stream: &'a StreamId,
        after: i32,
        limit: i64,
    ) -> BoxFuture<'a, Result<(Vec<Event>, bool), LogError>>;

    /// Those events of these ids that are in the log.
    fn find<'a>(
        &'a self,
        tx: &'a mut Tx,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Answered>, LogError>>;

    /// Appends an answer in no more than this time. Tells the version that its stream has then.
    fn append<'a>(
        &'a self,
        tx: &'a mut Tx,
        answer: Answer,
        time: Duration,
    ) -> BoxFuture<'a, Result<i32, LogError>>;

    /// Nothing new is appended: all that the plugin does was done before.
    fn only_repeats(&self) -> bool;
}

/// What is known before a batch.
#[derive(Debug, Default)]
pub struct Known {
    /// The aggregates that the plugin may append to; nothing: any.
    pub allowed: Option<BTreeSet<String>>,
    /// How long the chain of causes is that led to an event, by its position; of others it is 0.
    pub chains: HashMap<i64, i32>,
    /// The traces of events, by position, of those that have one.
    pub traces: HashMap<i64, TraceContext>,
    /// Where first answers are, by their ids.
    pub first: HashMap<Uuid, i64>,
}

/// An answer that is in the log.
#[derive(Debug)]
pub struct Answered {
    /// Its id.
    pub id: Uuid,
    /// Its place in the log.
    pub position: i64,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in that.
    pub version: i32,
    /// Its type; nothing where that is not to be had any more.
    pub event_type: Option<String>,
}

/// Events that answer a cause.
#[derive(Debug)]
pub struct Answer {
    /// Where to.
    pub stream: StreamId,
    /// What the plugin believes of the stream.
    pub expected: ExpectedVersion,
    /// With their ids, each with its label in the outbox.
    pub events: Vec<(NewEvent, Option<String>)>,
    /// When the cause happened.
    pub caused_at: DateTime<Utc>,
    /// How long the chain of causes is with these.
    pub chain: i32,
}

/// Why the log did not do it.
#[derive(Debug)]
pub enum LogError {
    /// The stream has this version. Nothing was written, and the transaction goes on.
    Conflict(i32),
    /// The answer is wrong. Nothing was written, and the transaction goes on.
    Invalid(String),
    /// An inline projection has refused it, and will again: the transaction can only be rolled back.
    Refused(String),
    /// The database, or what can pass: the transaction can only be rolled back.
    Database(SqlError),
}
