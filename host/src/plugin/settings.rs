//! What is decided for a projection in the database, for all hosts: how it works, and whether it runs
//! at all. Each change is an activation of its own (see `registry.rs`), so that no host goes on as
//! before.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};

use crate::code::codes;
use crate::projection::{Mode, TopicFilter};

/// Shards of a projection.
pub const MAX_SHARDS: i32 = 256;

/// What becomes of an event that a catch-up projection can't handle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnPoison {
    /// The projection stops at it, so that no later event is handled before it.
    #[default]
    Stop,
    /// It becomes a dead letter, and the projection goes on without it.
    SetAside,
}

impl OnPoison {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::SetAside => "set-aside",
        }
    }
}

impl FromStr for OnPoison {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stop" => Ok(Self::Stop),
            "set-aside" => Ok(Self::SetAside),
            _ => Err("give `stop` or `set-aside`".to_owned()),
        }
    }
}

/// How a projection works, beyond what its plugin says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectionSettings {
    /// Catch-up: in how many parts, by the hash of the stream, events are handled at the same time;
    /// 1 to 256.
    pub shards: i32,
    /// Catch-up: what becomes of an event that can't be handled.
    pub on_poison: OnPoison,
    /// Async: later events of a stream wait behind one that failed.
    pub stream_order: bool,
    /// Async: these topics, instead of those that the plugin names.
    pub topics: Option<TopicFilter>,
    /// Inline: lower ones run first.
    pub priority: i32,
    /// It gets no event at or below this position.
    pub starts_after: i64,
    /// Catch-up: this event and later ones are for a version that becomes active then.
    pub next_at: Option<i64>,
}

impl Default for ProjectionSettings {
    fn default() -> Self {
        Self {
            shards: 1,
            on_poison: OnPoison::Stop,
            stream_order: false,
            topics: None,
            priority: 0,
            starts_after: 0,
            next_at: None,
        }
    }
}

/// Where a projection begins that is new to a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// A catch-up projection at the beginning of the log, an async one at what is in the outbox.
    #[default]
    Default,
    /// At the beginning of the log, an async one, too: it is given what was there before it, each event
    /// once, and then what is in the outbox. What is there of topics is what the settings say of
    /// aggregates.
    All,
    /// With the events that are appended from now on.
    Now,
    /// After this position.
    After(i64),
    /// With the first event of this time or later.
    Time(DateTime<Utc>),
}

impl Start {
    /// The position after which that is, as the log stands now.
    ///
    /// # Errors
    /// The database's.
    pub async fn position(self, executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
        Ok(match self {
            Self::Default | Self::All => 0,
            Self::After(position) => position,
            Self::Now => {
                let now = sqlx::query_file!("src/plugin/sql/start_now.sql");
                now.fetch_one(executor).await?.position
            }
            Self::Time(time) => {
                let then = sqlx::query_file!("src/plugin/sql/start_at_time.sql", time);
                then.fetch_one(executor).await?.position
            }
        })
    }
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => Ok(Self::Default),
            "all" => Ok(Self::All),
            "now" => Ok(Self::Now),
            text => match (text.parse::<i64>(), text.parse::<DateTime<Utc>>()) {
                (Ok(position), _) if position > 0 => Ok(Self::After(position - 1)),
                (_, Ok(time)) => Ok(Self::Time(time)),
                _ => {
                    Err("give `beginning`, `all`, `now`, the first position (from 1), or the time of the \
                          first event (RFC 3339)"
                        .to_owned())
                }
            },
        }
    }
}

/// As it is read.
impl Serialize for Start {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Default => serializer.serialize_str("beginning"),
            Self::All => serializer.serialize_str("all"),
            Self::Now => serializer.serialize_str("now"),
            Self::After(position) => serializer.serialize_i64(position + 1),
            Self::Time(time) => time.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(i64),
            Text(String),
        }
        let text = match Form::deserialize(deserializer)? {
            Form::Number(number) => number.to_string(),
            Form::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How a projection begins that is new to a database. Later the database knows better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewProjection {
    /// With which event.
    pub start: Start,
    /// See [`ProjectionSettings::shards`].
    pub shards: i32,
    /// See [`ProjectionSettings::on_poison`].
    pub on_poison: OnPoison,
    /// See [`ProjectionSettings::stream_order`].
    pub stream_order: bool,
    /// See [`ProjectionSettings::topics`].
    pub topics: Option<TopicFilter>,
    /// See [`ProjectionSettings::priority`].
    pub priority: i32,
}

impl Default for NewProjection {
    fn default() -> Self {
        let ProjectionSettings { shards, on_poison, stream_order, topics, priority, .. } =
            ProjectionSettings::default();
        Self { start: Start::Default, shards, on_poison, stream_order, topics, priority }
    }
}

impl NewProjection {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// Names the setting and its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        check_shards(self.shards)
    }
}

/// Refuses a number of shards that can't be.
///
/// # Errors
/// [`SettingsError::Value`].
pub fn check_shards(shards: i32) -> Result<(), SettingsError> {
    if (1..=MAX_SHARDS).contains(&shards) {
        return Ok(());
    }
    let message = format!("shards is {shards}, and must be from 1 to {MAX_SHARDS}");
    Err(SettingsError::Value(message))
}

/// That no host runs a projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// Since when.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What is to change; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// See [`ProjectionSettings::shards`].
    pub shards: Option<i32>,
    /// See [`ProjectionSettings::on_poison`].
    pub on_poison: Option<OnPoison>,
    /// See [`ProjectionSettings::stream_order`].
    pub stream_order: Option<bool>,
    /// See [`ProjectionSettings::topics`]; `Some(None)` goes back to what the plugin names.
    pub topics: Option<Option<TopicFilter>>,
    /// See [`ProjectionSettings::priority`].
    pub priority: Option<i32>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// There is no projection of that name.
    #[error("there is no projection `{0}` (see `eventfabric projections list`)")]
    Unknown(String),
    /// It runs already.
    #[error("the projection `{0}` runs already")]
    Runs(String),
    /// An inline projection can't be paused.
    #[error(
        "the projection `{0}` is inline: it is part of every append, and would miss what is appended \
         meanwhile. Deploy another version instead"
    )]
    Inline(String),
    /// A value that is out of range.
    #[error("{0}")]
    Value(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

codes!(SettingsError {
    Self::Unknown(_) => "projection-not-found",
    Self::Runs(_) | Self::Inline(_) => "projection-state",
    Self::Value(_) => "invalid-value",
} else {
    Self::Database(error) => error,
});

/// Changes how a projection works. All hosts follow within a second.
///
/// # Errors
/// [`SettingsError::Unknown`], [`SettingsError::Value`], [`SettingsError::Database`].
pub async fn change(
    pool: &PgPool,
    name: &str,
    change: &SettingsChange,
) -> Result<(), SettingsError> {
    change.shards.map_or(Ok(()), check_shards)?;
    let topics = change.topics.as_ref().map(|topics| serde_json::json!(topics));
    sqlx::query_file!(
        "src/plugin/sql/settings.sql",
        name,
        change.shards,
        change.on_poison.map(OnPoison::as_str),
        change.stream_order,
        topics as Option<serde_json::Value>,
        change.priority
    )
    .fetch_optional(pool)
    .await?
    .ok_or_else(|| SettingsError::Unknown(name.to_owned()))?;
    Ok(())
}

/// Pauses a projection for all hosts, until [`resume`]. Events wait for it: those of the log, and
/// those of the outbox as retries of its own.
///
/// # Errors
/// [`SettingsError::Unknown`], [`SettingsError::Inline`], [`SettingsError::Database`].
pub async fn pause(
    pool: &PgPool,
    name: &str,
    by: Option<&str>,
    reason: Option<&str>,
) -> Result<(), SettingsError> {
    let mut tx = pool.begin().await?;
    let paused = sqlx::query_file!("src/plugin/sql/pause.sql", name, by, reason)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| SettingsError::Unknown(name.to_owned()))?;
    if paused.mode == Mode::Inline.to_string() {
        return Err(SettingsError::Inline(name.to_owned()));
    }
    Ok(tx.commit().await?)
}

/// Has the hosts run a projection again that was paused, or that an error has stopped.
///
/// # Errors
/// [`SettingsError::Unknown`], [`SettingsError::Runs`], [`SettingsError::Database`].
pub async fn resume(pool: &PgPool, name: &str) -> Result<(), SettingsError> {
    let resumed = sqlx::query_file!("src/plugin/sql/resume.sql", name).fetch_optional(pool).await?;
    if resumed.is_some() {
        return Ok(());
    }
    let known = super::registered(pool).await?.iter().any(|row| row.name == name);
    Err(if known {
        SettingsError::Runs(name.to_owned())
    } else {
        SettingsError::Unknown(name.to_owned())
    })
}

/// Tells all hosts that what they know of a projection holds no longer, when the transaction commits.
/// Answers whether there is such a projection.
///
/// # Errors
/// The database's.
pub async fn renew(executor: impl PgExecutor<'_>, name: &str) -> sqlx::Result<bool> {
    let done = sqlx::query_file!("src/plugin/sql/renew.sql", name).execute(executor).await?;
    Ok(done.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_a_position_or_a_time() {
        assert_eq!("beginning".parse::<Start>(), Ok(Start::Default));
        assert_eq!("now".parse(), Ok(Start::Now));
        assert_eq!("all".parse(), Ok(Start::All));
        assert_eq!("1".parse(), Ok(Start::After(0)));
        let time = "2026-01-01T00:00:00Z";
        assert_eq!(time.parse(), Ok(Start::Time(time.parse().unwrap())));
        for wrong in ["", "0", "-3", "yesterday"] {
            assert!(wrong.parse::<Start>().is_err(), "{wrong}");
        }
    }
}
