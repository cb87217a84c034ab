//! Process managers: plugins that answer events with events, by the import that is in
//! `wit/process-manager/process-manager.wit`.

use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;
use wasmtime::component::{HasSelf, Linker, Resource};

use super::bindings::TxHandle;
use super::causes::{Cause, Causes, answer_id};
use super::event_log::{Answer, LogError};
use super::host::{State, Stop};
use super::registry::Registry;
use super::session::Session;
use super::{LoadError, Plugin};
use crate::event::{Event, ExpectedVersion, NewEvent, StreamId};
use crate::sandbox::{SqlError, SqlErrorKind, Step, appendable};

mod generated {
    #![allow(missing_docs, dead_code, clippy::all)]
    wasmtime::component::bindgen!({
        inline: "
            package eventfabric:host;
            world process-manager { import eventfabric:process-manager/event-store@0.1.0; }
        ",
        path: ["../wit", "../wit/process-manager"],
        world: "eventfabric:host/process-manager",
        imports: {
            "eventfabric:process-manager/event-store": async | trappable,
            default: trappable,
        },
        with: { "eventfabric:projection/sql@0.1.0": crate::plugin::bindings::sql },
        additional_derives: [serde::Serialize, serde::Deserialize],
        require_store_data_send: true,
    });
}

use generated::eventfabric::process_manager::event_store as wit;
use generated::eventfabric::projection::types;

/// The interface that such a plugin imports.
pub const EVENT_STORE: &str = "eventfabric:process-manager/event-store";

/// The version of it that this host speaks.
pub const VERSION: &str = "0.1.0";

/// The import in full.
pub const IMPORT: &str = "eventfabric:process-manager/event-store@0.1.0";

/// Events that one `load` of a process manager answers, at most.
const PAGE: u32 = 1000;

/// Gives plugins the import.
pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl Registry {
    /// Refuses a plugin that would append events where no operator lets it.
    ///
    /// # Errors
    /// The outer one is the database's.
    pub async fn admit(&self, plugin: &Plugin) -> sqlx::Result<Result<(), LoadError>> {
        let name = &plugin.description.name;
        if !plugin.is_process_manager() || !appendable(self.pool(), name).await?.is_empty() {
            return Ok(Ok(()));
        }
        Ok(Err(LoadError::NotGranted { plugin: name.clone(), import: IMPORT }))
    }
}

/// Why something was not done, as the plugin is told.
type Refusal = wit::AppendError;

/// Uses the log in the transaction of the batch, until its time is over.
macro_rules! in_transaction {
    ($state:expr, |$log:ident, $tx:ident| $work:expr) => {{
        let (deadline, time) = ($state.deadline, $state.time);
        let session = $state.session.as_mut().ok_or(Stop::NoTransaction)?;
        let causes = session.causes.as_ref().ok_or(Stop::NoTransaction)?;
        let ($log, mut tx) = (causes.log.clone(), session.tx.take().ok_or(Stop::Lost)?);
        let (pid, $tx) = (tx.backend_pid(), &mut tx);
        let ended = session.until(deadline, pid, $work).await;
        let done = session.take_back(tx, ended, time)?;
        done.map_err(|error| failed(session, error))
    }};
}

/// What a plugin is told of an error. One that has cost the transaction is noted.
fn failed(session: &mut Session, error: LogError) -> Refusal {
    let error = match error {
        LogError::Conflict(version) => return Refusal::Conflict(version.max(0).unsigned_abs()),
        LogError::Invalid(message) => return Refusal::Invalid(message),
        LogError::Refused(message) => {
            session.refused = true;
            SqlError::new(SqlErrorKind::Constraint, message)
        }
        LogError::Database(error) => error,
    };
    session.fail("", &error);
    Refusal::Database(error.message)
}

impl State {
    /// Counts a use of the log for this cause, and learns of the batch what is to be known first.
    async fn begin_log(
        &mut self,
        cause: u32,
        bytes: usize,
    ) -> wasmtime::Result<Result<usize, Refusal>> {
        let limits = self.limits.clone();
        let session = self.session.as_mut().ok_or(Stop::NoTransaction)?;
        let Some(causes) = &session.causes else {
            let message = "a plugin reaches streams while it handles events, and not while it answers \
                           a query";
            return Ok(Err(Refusal::Denied(message.to_owned())));
        };
        if session.tx.as_ref().ok_or(Stop::Lost)?.is_doomed() {
            let message = "an earlier error has undone the batch: return a failure";
            return Ok(Err(Refusal::Database(message.to_owned())));
        }
        let index = cause as usize;
        if index >= causes.causes.len() {
            let given = causes.causes.len();
            let message = format!("there is no event {cause}: the batch has {given}, from 0");
            return Ok(Err(Refusal::Invalid(message)));
        }
        session.statements += 1;
        session.bytes = session.bytes.saturating_add(bytes);
        if session.statements > limits.statements {
            let most = limits.statements;
            let message = format!("a batch may run {most} statements (`limits.statements`)");
            return Ok(Err(Refusal::Limit(message)));
        }
        if session.bytes > limits.parameter_bytes {
            let most = limits.parameter_bytes;
            let message =
                format!("a batch may bring {most} bytes of parameters (`limits.parameter_bytes`)");
            return Ok(Err(Refusal::Limit(message)));
        }
        if causes.known.is_none() {
            let plugin = causes.plugin.clone();
            let positions: Vec<i64> = causes.causes.iter().map(|cause| cause.position).collect();
            let first = causes.causes.iter().map(|cause| answer_id(&plugin, cause.id, 0));
            let first: Vec<Uuid> = first.collect();
            let known = in_transaction!(self, |log, tx| log.known(tx, &plugin, &positions, &first));
            match known {
                Ok(known) => self.causes()?.learn(known),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(index))
    }

    fn causes(&mut self) -> Result<&mut Causes, Stop> {
        let session = self.session.as_mut().ok_or(Stop::NoTransaction)?;
        session.causes.as_mut().ok_or(Stop::NoTransaction)
    }

    async fn load_page(
        &mut self,
        cause: u32,
        aggregate: String,
        id: String,
        after: u32,
        limit: u32,
    ) -> wasmtime::Result<Result<wit::Page, Refusal>> {
        let cause = match self.begin_log(cause, aggregate.len() + id.len()).await? {
            Ok(cause) => cause,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Ok(after) = i32::try_from(after) else {
            return Ok(Err(Refusal::Invalid(format!("no stream has a version {after}"))));
        };
        if limit == 0 {
            return Ok(Err(Refusal::Invalid("a limit is at least 1".to_owned())));
        }
        let Cause { tenant, upto, .. } = &self.causes()?.causes[cause];
        let (upto, limit) = (*upto, i64::from(limit.min(PAGE)));
        let stream = StreamId::new(aggregate, id).in_tenant(tenant.clone());
        let read = in_transaction!(self, |log, tx| log.read(tx, &stream, after, limit));
        let (mut events, mut more) = match read {
            Ok(read) => read,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Positions of a stream grow with its versions.
        if let Some(end) =
            upto.and_then(|upto| events.iter().position(|event| event.position > upto))
        {
            events.truncate(end);
            more = false;
        }
        let version = events.last().map_or(after, |event| event.version);
        let upcasters = self.causes()?.upcasters.clone();
        let events = events.into_iter().filter(|event| event.dismissed_at.is_none());
        let lifted = events.map(|event| upcasters.lift(event).map(shown));
        Ok(match lifted.collect::<Result<Vec<_>, _>>() {
            Ok(events) => Ok(wit::Page { events, version: version.unsigned_abs(), more }),
            Err(error) => Err(Refusal::Invalid(error.to_string())),
        })
    }

    async fn append_answer(
        &mut self,
        cause: u32,
        aggregate: String,
        id: String,
        expected: wit::ExpectedVersion,
        events: Vec<wit::NewEvent>,
    ) -> wasmtime::Result<Result<u32, Refusal>> {
        let bytes: usize = events.iter().map(|event| event.payload.len()).sum();
        let cause = match self.begin_log(cause, bytes + aggregate.len() + id.len()).await? {
            Ok(cause) => cause,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let limits = self.limits.clone();
        let causes = self.causes()?;
        let count = events.len() as u64;
        causes.events = causes.events.saturating_add(count);
        causes.bytes = causes.bytes.saturating_add(bytes);
        if causes.events > limits.events_appended {
            let most = limits.events_appended;
            let message = format!("a batch may append {most} events (`limits.events_appended`)");
            return Ok(Err(Refusal::Limit(message)));
        }
        if causes.bytes > limits.appended_bytes {
            let most = limits.appended_bytes;
            let message =
                format!("a batch may append {most} bytes of payload (`limits.appended_bytes`)");
            return Ok(Err(Refusal::Limit(message)));
        }
        let known = causes.known.as_ref();
        let allowed = known.and_then(|known| known.allowed.as_ref());
        if allowed.is_some_and(|allowed| !allowed.contains(&aggregate)) {
            let plugin = &causes.plugin;
            return Ok(Err(Refusal::Denied(format!(
                "append:{aggregate} is not granted to {plugin}: `eventfabric plugin grants {plugin} --add \
                 append:{aggregate}` grants it"
            ))));
        }
        let of = &causes.causes[cause];
        let chain = known.and_then(|known| known.chains.get(&of.position)).copied().unwrap_or(0);
        let answer = Answer {
            stream: StreamId::new(aggregate, id).in_tenant(of.tenant.clone()),
            expected: match expected {
                wit::ExpectedVersion::Any => ExpectedVersion::Any,
                wit::ExpectedVersion::None => ExpectedVersion::NoStream,
                wit::ExpectedVersion::Exact(version) => match i32::try_from(version) {
                    Ok(version) => ExpectedVersion::Exact(version),
                    Err(_) => {
                        let message = format!("no stream has a version {version}");
                        return Ok(Err(Refusal::Invalid(message)));
                    }
                },
            },
            caused_at: of.occurred_at,
            chain: chain + 1,
            events: match prepare(causes, cause, events) {
                Ok(events) => events,
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        let appended = match self.repeat(cause, &answer).await? {
            Ok(Some((version, position))) => {
                self.causes()?.causes[cause].upto = Some(position);
                Ok(version)
            }
            Ok(None) => self.append_new(cause, answer).await?,
            Err(refusal) => Err(refusal),
        };
        if appended.is_ok() {
            let answers = &mut self.causes()?.causes[cause].answers;
            *answers = answers.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
        Ok(appended.map(i32::unsigned_abs))
    }

    /// The version and the position of the last event of an answer that is in the log from before; nothing
    /// where it is new.
    async fn repeat(
        &mut self,
        cause: usize,
        answer: &Answer,
    ) -> wasmtime::Result<Result<Option<(i32, i64)>, Refusal>> {
        let causes = self.causes()?;
        let changed = |causes: &Causes| {
            let Cause { position, id, .. } = &causes.causes[cause];
            Refusal::Denied(format!(
                "{} has handled the event at position {position} ({id}) before, and appended something else \
                 then: its handler has changed, or decides by what is not the same each time. Nothing is \
                 appended twice, and nothing else now",
                causes.plugin
            ))
        };
        // What it was answered with came all at once: without the first event there is none.
        if causes.causes[cause].upto.is_none() {
            let known = causes.known.as_ref();
            let first = answer_id(&causes.plugin, causes.causes[cause].id, 0);
            let answered = known.is_some_and(|known| known.first.contains_key(&first));
            return Ok(match causes.log.only_repeats() && !answered {
                true => Err(changed(causes)),
                false => Ok(None),
            });
        }
        let ids: Vec<Uuid> = answer.events.iter().filter_map(|(event, _)| event.id).collect();
        let found = match in_transaction!(self, |log, tx| log.find(tx, &ids)) {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let causes = self.causes()?;
        if found.is_empty() && !causes.log.only_repeats() {
            return Ok(Ok(None));
        }
        let mut last = None;
        for (new, _) in &answer.events {
            let known = found.iter().find(|known| Some(known.id) == new.id);
            let same = known.filter(|known| {
                known.stream == answer.stream
                    && known.event_type.as_ref().is_none_or(|kind| *kind == new.event_type)
            });
            let Some(same) = same else { return Ok(Err(changed(causes))) };
            last = Some((same.version, same.position));
        }
        Ok(Ok(last))
    }

    async fn append_new(
        &mut self,
        cause: usize,
        answer: Answer,
    ) -> wasmtime::Result<Result<i32, Refusal>> {
        let most = self.limits.chain;
        if answer.chain.unsigned_abs() > most {
            return Ok(Err(Refusal::Denied(format!(
                "the event that would be answered is the last of {most} that each answered the one before \
                 it: it looks as if plugins answer each other for ever (`limits.chain`)"
            ))));
        }
        let left = self.deadline.saturating_duration_since(std::time::Instant::now());
        let appended = in_transaction!(self, |log, tx| log.append(tx, answer, left));
        if appended.is_ok() {
            // It has come to its end, and goes on from here.
            self.causes()?.causes[cause].upto = None;
        }
        Ok(appended)
    }
}

/// The events of an answer as the log is to have them, each with its topic.
fn prepare(
    causes: &Causes,
    cause: usize,
    events: Vec<wit::NewEvent>,
) -> Result<Vec<(NewEvent, Option<String>)>, Refusal> {
    let prepare = |(n, event): (u32, wit::NewEvent)| {
        let version = i32::try_from(event.schema_version);
        let (Ok(version), Ok(payload)) = (version, RawValue::from_string(event.payload)) else {
            return Err(Refusal::Invalid(format!(
                "event {n} ({}): its payload is no JSON, or its version is out of range",
                event.event_type
            )));
        };
        Ok((causes.event(cause, n, event.event_type, version, payload), event.topic))
    };
    (0..).zip(events).map(prepare).collect()
}

/// An event as the plugin gets it.
fn shown(event: Event) -> types::Event {
    types::Event {
        position: event.position.unsigned_abs(),
        id: event.id.to_string(),
        tenant: event.stream.tenant,
        aggregate: event.stream.aggregate,
        aggregate_id: event.stream.id,
        version: event.version.unsigned_abs(),
        event_type: event.event_type,
        schema_version: event.schema_version.unsigned_abs(),
        payload: event.payload.get().to_owned(),
        occurred_at: event.occurred_at.timestamp_micros(),
        correlation_id: event.correlation_id,
        causation_id: event.causation_id,
    }
}

impl wit::Host for State {
    async fn load(
        &mut self,
        _: Resource<TxHandle>,
        cause: u32,
        aggregate: String,
        aggregate_id: String,
        after: u32,
        limit: u32,
    ) -> wasmtime::Result<Result<wit::Page, Refusal>> {
        self.count_call()?;
        let asked = || json!(["load", cause, &aggregate, &aggregate_id, after, limit]);
        let asked = self.is_noted().then(asked);
        if let Some(answer) = self.scripted(asked.as_ref())? {
            return Ok(answer);
        }
        let answer = self.load_page(cause, aggregate, aggregate_id, after, limit).await?;
        self.note_log(asked, &answer);
        Ok(answer)
    }

    async fn append(
        &mut self,
        _: Resource<TxHandle>,
        cause: u32,
        aggregate: String,
        aggregate_id: String,
        expected: wit::ExpectedVersion,
        events: Vec<wit::NewEvent>,
    ) -> wasmtime::Result<Result<u32, Refusal>> {
        self.count_call()?;
        let asked = || json!(["append", cause, &aggregate, &aggregate_id, &expected, &events]);
        let asked = self.is_noted().then(asked);
        if let Some(answer) = self.scripted(asked.as_ref())? {
            return Ok(answer);
        }
        let answer = self.append_answer(cause, aggregate, aggregate_id, expected, events).await?;
        self.note_log(asked, &answer);
        Ok(answer)
    }
}

impl State {
    /// Whether questions and answers are recorded, or were.
    fn is_noted(&self) -> bool {
        self.script.is_some() || self.is_recording()
    }

    /// The answer of the script, where there is one.
    fn scripted<T: DeserializeOwned>(
        &mut self,
        asked: Option<&serde_json::Value>,
    ) -> Result<Option<T>, Stop> {
        let (Some(script), Some(asked)) = (&mut self.script, asked) else { return Ok(None) };
        let answer = script.log(asked)?;
        serde_json::from_value(answer).map(Some).map_err(|_| Stop::OffScript)
    }

    fn note_log(&self, asked: Option<serde_json::Value>, answer: &impl serde::Serialize) {
        if let Some(asked) = asked {
            self.note(|| Step::Log { asked, answer: json!(answer) });
        }
    }
}
