//! Events and streams: pure types, no I/O.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::trace::TraceContext;

/// The tenant of everything that names none.
pub const DEFAULT_TENANT: &str = "default";

/// Bytes of a tenant's name, an aggregate's or an id, at most: the three share an index entry, which
/// PostgreSQL limits to some 2,700 bytes.
pub const MAX_NAME: usize = 512;

/// The greatest version of a stream: PostgreSQL's `int`.
pub const MAX_VERSION: i32 = i32::MAX;

/// The greatest position of an event in the log: PostgreSQL's `bigint`.
pub const MAX_POSITION: i64 = i64::MAX;

/// Names one stream: the events of one aggregate of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId {
    /// The isolated owner of the stream; [`DEFAULT_TENANT`] where there is only one.
    pub tenant: String,
    /// The kind of aggregate, such as `Account`.
    pub aggregate: String,
    /// Which aggregate of that kind, such as `42`.
    pub id: String,
}

/// One of several parts of all streams, by the hash of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Which one, from 0.
    pub index: i32,
    /// How many there are, from 1.
    pub count: i32,
}

impl Shard {
    /// All streams.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// Whether it is all streams.
    pub fn is_all(self) -> bool {
        self.count == 1
    }

    /// Whether the streams of this id are part of it. The database decides the same
    /// (`eventfabric.shard_of`): the first two bytes of the SHA-256 of the id, modulo the number of
    /// shards.
    pub fn holds(self, id: &str) -> bool {
        self.is_all() || Self::of(id, self.count) == self.index
    }

    /// Which of `count` shards (1 or more) the streams of this id are part of.
    pub fn of(id: &str, count: i32) -> i32 {
        let hash = Sha256::digest(id);
        i32::from(u16::from_be_bytes([hash[0], hash[1]])) % count
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::ALL
    }
}

impl StreamId {
    /// A stream of the default tenant.
    pub fn new(aggregate: impl Into<String>, id: impl Into<String>) -> Self {
        Self { tenant: DEFAULT_TENANT.to_owned(), aggregate: aggregate.into(), id: id.into() }
    }

    /// The same stream of another tenant.
    pub fn in_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.tenant != DEFAULT_TENANT {
            write!(f, "{}:", self.tenant)?;
        }
        write!(f, "{}/{}", self.aggregate, self.id)
    }
}

/// Names a tenant: 1 to [`MAX_NAME`] bytes without NUL.
///
/// ```
/// use eventfabric::event::TenantId;
///
/// let acme: TenantId = "acme".parse().unwrap();
/// assert_eq!(acme.as_str(), "acme");
/// assert!("".parse::<TenantId>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

/// A name that no tenant can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name of a tenant has 1 to {MAX_NAME} bytes and no NUL; this one has {0}")]
pub struct InvalidTenantId(usize);

impl TenantId {
    /// Checks a name.
    ///
    /// # Errors
    /// The name is empty, too long, or holds NUL.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidTenantId> {
        let name = name.into();
        match is_name(&name) {
            true => Ok(Self(name)),
            false => Err(InvalidTenantId(name.len())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    /// [`DEFAULT_TENANT`].
    fn default() -> Self {
        Self(DEFAULT_TENANT.to_owned())
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl std::str::FromStr for TenantId {
    type Err = InvalidTenantId;

    fn from_str(name: &str) -> Result<Self, InvalidTenantId> {
        Self::new(name)
    }
}

impl TryFrom<String> for TenantId {
    type Error = InvalidTenantId;

    fn try_from(name: String) -> Result<Self, InvalidTenantId> {
        Self::new(name)
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.0
    }
}

/// Whether PostgreSQL can store and index this as a part of a stream's key.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.contains('\0')
}

/// Names one stream within a tenant that is known already.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamName {
    /// The kind of aggregate, such as `Account`.
    pub aggregate: String,
    /// Which aggregate of that kind, such as `42`.
    pub id: String,
}

impl StreamName {
    /// A stream of whichever tenant asks.
    pub fn new(aggregate: impl Into<String>, id: impl Into<String>) -> Self {
        Self { aggregate: aggregate.into(), id: id.into() }
    }

    /// The stream of this tenant.
    pub fn of(self, tenant: &TenantId) -> StreamId {
        StreamId { tenant: tenant.0.clone(), aggregate: self.aggregate, id: self.id }
    }
}

/// What a writer believes of a stream when it appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedVersion {
    /// No belief: append whatever is there.
    Any,
    /// The stream has no event.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The last event of the stream has this version, from 1. 0 means the same as `NoStream`.
    Exact(i32),
}

impl ExpectedVersion {
    /// The least and greatest version that satisfies the expectation.
    pub fn range(self) -> (i32, i32) {
        match self {
            Self::Any => (0, MAX_VERSION),
            Self::NoStream => (0, 0),
            Self::StreamExists => (1, MAX_VERSION),
            Self::Exact(version) => (version, version),
        }
    }
}

impl std::fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => write!(f, "any version"),
            Self::NoStream | Self::Exact(0) => write!(f, "no stream"),
            Self::StreamExists => write!(f, "an existing stream"),
            Self::Exact(version) => write!(f, "version {version}"),
        }
    }
}

/// An event before it is appended.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Made by the store (version 7) where none is given. Appending the same id again is
    /// recognised.
    pub id: Option<Uuid>,
    /// Such as `AccountOpened`.
    pub event_type: String,
    /// The version of the payload's schema, from 1.
    pub schema_version: i32,
    /// A JSON object. The store adds `type` and `version` where they are missing.
    pub payload: Box<RawValue>,
    /// When it happened; the time of the append where none is given.
    pub occurred_at: Option<DateTime<Utc>>,
    /// What belongs together.
    pub correlation_id: Option<String>,
    /// What caused this event.
    pub causation_id: Option<String>,
    /// The trace that it belongs to; where none is given, that of the append, if it has one.
    pub trace: Option<TraceContext>,
}

impl NewEvent {
    /// An event of schema version 1 with a payload that serialises to a JSON object.
    pub fn new(
        event_type: impl Into<String>,
        payload: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: None,
            event_type: event_type.into(),
            schema_version: 1,
            payload: serde_json::value::to_raw_value(payload)?,
            occurred_at: None,
            correlation_id: None,
            causation_id: None,
            trace: None,
        })
    }
}

/// An event of the log.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// The place in the log of all streams, from 1. It has holes.
    pub position: i64,
    /// Unique in the whole log. (In JSON not `id`: that is the stream's, as in a line of an import.)
    #[serde(rename = "event_id")]
    pub id: Uuid,
    /// The stream that it belongs to.
    #[serde(flatten)]
    pub stream: StreamId,
    /// The place in its stream: 1, 2, 3, … without holes.
    pub version: i32,
    /// Such as `AccountOpened`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The version of the payload's schema, from 1.
    pub schema_version: i32,
    /// A JSON object that holds `type` and `version` beside the data.
    pub payload: Box<RawValue>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// What belongs together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What caused this event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// When it was dismissed, if it was. Only reads that ask for dismissed events see any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed_at: Option<DateTime<Utc>>,
    /// The label in the outbox. Known where the event came through the outbox or was just
    /// appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The trace that it belongs to, as a `traceparent`. Known where it was asked for, or the event was just
    /// appended.
    #[serde(rename = "traceparent", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

impl Event {
    /// What the writer said of the event beside its data: the object `metadata` in the payload, and
    /// empty where there is none.
    pub fn metadata(&self) -> serde_json::Map<String, serde_json::Value> {
        #[derive(Deserialize)]
        struct Own {
            #[serde(default)]
            metadata: serde_json::Map<String, serde_json::Value>,
        }
        serde_json::from_str(self.payload.get()).map(|own: Own| own.metadata).unwrap_or_default()
    }
}
