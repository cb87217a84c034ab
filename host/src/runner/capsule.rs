//! A dead event with all that its handler was given: to fail once more on another machine, without the database.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::answers::Answers;
use super::deploy::DeployError;
use crate::db::Tx;
use crate::event::{Event, StreamId};
use crate::plugin::{Beyond, Plugin, Registry, Script};
use crate::projection::Failure;
use crate::sandbox::{BatchCall, Step};
use crate::store::{DeadLetter, StoreError};

/// The form that this host writes and reads.
const FORMAT: u32 = 1;

/// What a handler was given, and how it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Capsule {
    /// The form of this.
    pub format: u32,
    /// The projection.
    pub plugin: String,
    /// The SHA-256 of the version.
    pub version: String,
    /// The event.
    event: Packed,
    /// The settings that the operator gave the plugin.
    pub config: BTreeMap<String, String>,
    /// What the dead letter says.
    pub letter: Ended,
    /// How the event ended when it was handled again, for this capsule; nothing: it went well.
    pub again: Option<Ended>,
    /// What the handler asked of its tables then, and what it was answered.
    pub steps: Vec<Step>,
}

/// How the handling of an event ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// `poison`, `fatal`, `retry` or `trap`.
    pub class: Option<String>,
    /// Why.
    pub error: String,
    /// What the database said of the statement that failed, where one did.
    pub sqlstate: Option<String>,
    /// That statement.
    pub statement: Option<String>,
}

impl From<&Failure> for Ended {
    fn from(failure: &Failure) -> Self {
        Self {
            class: Some(failure.class().as_str().to_owned()),
            error: failure.message.clone(),
            sqlstate: failure.sqlstate.clone(),
            statement: failure.statement.clone(),
        }
    }
}

/// An event in full. (An [`Event`] is read from the log alone.)
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Packed {
    position: i64,
    event_id: Uuid,
    tenant: String,
    aggregate: String,
    id: String,
    version: i32,
    r#type: String,
    schema_version: i32,
    occurred_at: DateTime<Utc>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    topic: Option<String>,
    payload: Box<RawValue>,
}

impl From<Event> for Packed {
    fn from(event: Event) -> Self {
        Self {
            position: event.position,
            event_id: event.id,
            tenant: event.stream.tenant,
            aggregate: event.stream.aggregate,
            id: event.stream.id,
            version: event.version,
            r#type: event.event_type,
            schema_version: event.schema_version,
            occurred_at: event.occurred_at,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            topic: event.topic,
            payload: event.payload,
        }
    }
}

impl From<Packed> for Event {
    fn from(event: Packed) -> Self {
        Self {
            position: event.position,
            id: event.event_id,
            stream: StreamId::new(event.aggregate, event.id).in_tenant(event.tenant),
            version: event.version,
            event_type: event.r#type,
            schema_version: event.schema_version,
            payload: event.payload,
            occurred_at: event.occurred_at,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            dismissed_at: None,
            topic: event.topic,
            trace: None,
        }
    }
}

impl Capsule {
    /// Reads one.
    ///
    /// # Errors
    /// It is none, or one of a newer host.
    pub fn read(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let form: Form = serde_json::from_str(text)
            .map_err(|error| format!("it is no capsule of `dlq show --export`: {error}"))?;
        if form.format != FORMAT {
            return Err(format!(
                "it has the form {} and this program reads {FORMAT}: take the one that wrote it",
                form.format
            ));
        }
        serde_json::from_str(text).map_err(|error| format!("the capsule is damaged: {error}"))
    }

    /// The event.
    pub fn event(&self) -> Event {
        self.event.clone().into()
    }
}

/// Hands a dead event to the version that failed once more, on its tables as they are now, and records what it
/// asks of them; all of that is rolled back. Answers the bytes of the version, too.
///
/// # Errors
/// When the database has that version no longer, or fails itself.
pub async fn rerun(
    registry: &Registry,
    letter: &DeadLetter,
    event: Event,
) -> Result<(Capsule, Arc<[u8]>), DeployError> {
    let refused = |why: String| DeployError::Version(why);
    let (Some(name), Some(version)) = (&letter.projection, &letter.plugin_version) else {
        let why =
            "the letter does not say which version of which plugin failed: it is not this host's";
        return Err(refused(why.to_owned()));
    };
    let (plugin, bytes) = registry.stored(name, version).await.map_err(|error| {
        refused(format!("version {version} of `{name}` is not to be had: {error:#}"))
    })?;
    if plugin.is_reactor() {
        return Err(refused(format!(
            "`{name}` sends requests: to record how the event fails it would have to send them once more"
        )));
    }
    let sql = registry.sandbox().learning(name, version).await?;
    let config = registry.config(name).await.map_err(StoreError::from)?;
    let tx = Tx::begin(registry.pool(), plugin.limits().batch).await.map_err(StoreError::from)?;
    sql.recorder().begin();
    let events = std::slice::from_ref(&event);
    let log = Answers::on_trial(registry);
    let (tx, handled) = plugin.handle_with(tx, &sql, events, &config, Beyond::log(&log)).await;
    let steps = sql.recorder().end();
    let Some(tx) = tx else {
        let message = handled.err().map_or_else(String::new, |failure| failure.message);
        return Err(DeployError::Trial { events: 1, message });
    };
    tx.rollback().await.map_err(StoreError::from)?;
    let capsule = Capsule {
        format: FORMAT,
        plugin: name.clone(),
        version: version.clone(),
        event: event.into(),
        config: (*config).clone(),
        letter: Ended {
            class: letter.error_class.clone(),
            error: letter.error.clone().unwrap_or_default(),
            sqlstate: letter.sqlstate.clone(),
            statement: letter.failed_sql.clone(),
        },
        again: handled.err().as_ref().map(Ended::from),
        steps,
    };
    Ok((capsule, bytes))
}

/// What became of a replay.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It failed as it did before.
    Same,
    /// It failed, and in another way.
    Other {
        /// Which.
        failure: Ended,
    },
    /// It went well.
    Well,
    /// It asked what was not recorded: from there on nothing is known.
    Astray {
        /// What it ran.
        ran: Vec<BatchCall>,
        /// What it had run at this point; nothing: the recording is at its end.
        recorded: Option<Step>,
    },
}

/// Hands the event of a capsule to a component, with the recorded answers. Answers also how many of the steps
/// it took.
pub async fn replay(capsule: &Capsule, plugin: &Plugin) -> (Verdict, usize) {
    let config = Arc::new(capsule.config.clone());
    let script = Script::new(capsule.steps.clone());
    let (script, result) = plugin.replay(&capsule.event(), &config, script).await;
    let taken = script.answered;
    if let Some(ran) = &script.astray {
        let recorded = script.expected().cloned();
        return (Verdict::Astray { ran: ran.clone(), recorded }, taken);
    }
    let verdict = match result {
        Ok(()) => Verdict::Well,
        Err(failure) => {
            let failure = Ended::from(&failure);
            match Some(&failure) == capsule.again.as_ref() {
                true => Verdict::Same,
                false => Verdict::Other { failure },
            }
        }
    };
    (verdict, taken)
}
