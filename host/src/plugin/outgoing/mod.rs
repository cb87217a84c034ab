//! Requests that a plugin sends to other systems, where it imports the extension of the contract that is in
//! `wit/reactor/reactor.wit`: to servers that the operator has granted it, each within limits.

mod client;
mod rehearsal;
mod request;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use uuid::Uuid;
use wasmtime::component::{HasSelf, Linker};

use super::host::State;
use super::limits::Limits;
use super::traced;
use crate::event::Event;
use crate::sandbox::{Endpoint, PluginSql};

pub use client::Client;
#[cfg(feature = "telemetry")]
pub(crate) use client::tls as client_tls;
pub use rehearsal::{Kept, Rehearsal};

mod generated {
    #![allow(missing_docs, dead_code, clippy::all)]
    wasmtime::component::bindgen!({
        inline: "
            package eventfabric:host;
            world outgoing { import eventfabric:reactor/outgoing@0.1.0; }
        ",
        path: ["../wit", "../wit/reactor"],
        world: "eventfabric:host/outgoing",
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

use generated::eventfabric::reactor::outgoing as wit;

/// What becomes of the requests of a plugin.
#[derive(Debug, Clone, Copy, Default)]
pub enum Requests<'a> {
    /// Its events are looked at, and not delivered: nothing is sent.
    #[default]
    Refused,
    /// They are sent.
    Sent,
    /// They are kept, and answered from a list.
    Kept(&'a Arc<Rehearsal>),
}

/// What a server has answered, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status of HTTP.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, as it came.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The operator has not granted it.
    #[error("denied: {0}")]
    Denied(String),
    /// The request is wrong.
    #[error("invalid: {0}")]
    Invalid(String),
    /// No whole answer came in time.
    #[error("timeout: {0}")]
    Timeout(String),
    /// No connection, or a broken one.
    #[error("connection: {0}")]
    Connection(String),
    /// A limit.
    #[error("limit: {0}")]
    Limit(String),
}

impl SendError {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::Timeout(_) => "timeout",
            Self::Connection(_) => "connection",
            Self::Limit(_) => "limit",
        }
    }
}

/// The requests of one call of `handle`.
pub struct Outgoing {
    plugin: String,
    way: Way,
    /// The events, each with the number of its requests so far.
    events: Vec<(Uuid, u32)>,
    requests: u32,
    /// How long answers were waited for, all together.
    waited: Duration,
}

enum Way {
    Refused,
    Sent(Arc<Client>),
    Kept(Arc<Rehearsal>),
}

impl Outgoing {
    /// For a plugin that handles these events.
    pub fn new(
        plugin: &str,
        client: &Arc<Client>,
        requests: Requests<'_>,
        events: &[Event],
    ) -> Self {
        let way = match requests {
            Requests::Refused => Way::Refused,
            Requests::Sent => Way::Sent(client.clone()),
            Requests::Kept(rehearsal) => Way::Kept(rehearsal.clone()),
        };
        Self {
            plugin: plugin.to_owned(),
            way,
            events: events.iter().map(|event| (event.id, 0)).collect(),
            requests: 0,
            waited: Duration::ZERO,
        }
    }

    /// How long answers were waited for, all together.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The key of the next request of an event: the same when the event is handled once more, for requests
    /// count whatever becomes of them.
    fn next_key(&mut self, cause: u32) -> Result<Uuid, SendError> {
        let events = self.events.len();
        let event = self.events.get_mut(cause as usize).ok_or_else(|| {
            SendError::Invalid(format!("the cause {cause} is none of the {events} events"))
        })?;
        event.1 += 1;
        Ok(key(&self.plugin, event.0, event.1))
    }

    async fn send(
        &mut self,
        sql: Option<Arc<PluginSql>>,
        limits: &Limits,
        cause: u32,
        request: wit::Request,
    ) -> Result<HttpAnswer, SendError> {
        let key = self.next_key(cause)?;
        self.requests += 1;
        if self.requests > limits.requests {
            let most = limits.requests;
            return Err(SendError::Limit(format!(
                "a batch may send {most} requests (`limits.requests`)"
            )));
        }
        let asked = request.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let url = request.url.clone();
        let (server, mut request) = request::checked(request, key, limits)?;
        let client = match &self.way {
            Way::Refused => {
                return Err(SendError::Denied(
                    "nothing is sent where events are tried and not delivered".to_owned(),
                ));
            }
            Way::Kept(rehearsal) => return rehearsal.answer(url, request),
            Way::Sent(client) => client.clone(),
        };
        let sql = sql.ok_or_else(|| SendError::Denied("there is no database".to_owned()))?;
        let left = limits.request_time_total.saturating_sub(self.waited);
        if left.is_zero() {
            return Err(SendError::Timeout(format!(
                "the requests of a batch have {:?} together (`limits.request_time_total`)",
                limits.request_time_total
            )));
        }
        let time = asked.unwrap_or(limits.request_time).min(limits.request_time).min(left);
        let begun = Instant::now();
        let span = traced::request(&server, &mut request);
        let work = async {
            if !granted(&sql, &server).await? {
                return Err(SendError::Denied(format!(
                    "{}:{server} is not granted: `eventfabric plugin grants {} --add {}:{server}`",
                    server.scheme(),
                    self.plugin,
                    server.scheme(),
                )));
            }
            client.send(request, limits.answer_bytes).await
        };
        let answer = tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
            Err(SendError::Timeout(format!("{server} gave no whole answer within {time:?}")))
        });
        let took = begun.elapsed();
        self.waited += took;
        self.note(&server, &answer, took);
        traced::answered(&span, &answer);
        answer
    }

    /// Counts a request. What is logged holds no secret: no path, no header, no body.
    fn note(&self, server: &Endpoint, answer: &Result<HttpAnswer, SendError>, took: Duration) {
        let outcome = match answer {
            Ok(answer) => match answer.status {
                ..200 => "1xx",
                200..300 => "2xx",
                300..400 => "3xx",
                400..500 => "4xx",
                500.. => "5xx",
            },
            Err(error) => error.label(),
        };
        let projection = self.plugin.clone();
        counter!(
            "eventfabric_reactor_requests_total",
            "projection" => projection.clone(), "outcome" => outcome
        )
        .increment(1);
        histogram!("eventfabric_reactor_request_seconds", "projection" => projection).record(took);
        let (projection, host, port) = (&self.plugin, &server.host, server.port);
        match answer {
            Err(error) => {
                tracing::warn!(projection, %host, port, ?took, %error, "a request failed");
            }
            Ok(answer) if answer.status >= 400 => {
                let status = answer.status;
                tracing::warn!(projection, %host, port, ?took, status, "a request was refused");
            }
            Ok(answer) => {
                tracing::debug!(projection, %host, port, ?took, status = answer.status, "sent");
            }
        }
    }
}

async fn granted(sql: &PluginSql, server: &Endpoint) -> Result<bool, SendError> {
    sql.may_send(server)
        .await
        .map_err(|error| SendError::Connection(format!("the grants cannot be read: {error}")))
}

/// What a server may know a request by: a UUID of version 5, whose namespace is the event's id and whose name
/// the projection and the number of the request among those of the event, from 1.
fn key(projection: &str, event: Uuid, number: u32) -> Uuid {
    Uuid::new_v5(&event, format!("{projection}/{number}").as_bytes())
}

/// Gives plugins what they may import of this.
pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl wit::Host for State {
    async fn send(
        &mut self,
        cause: u32,
        request: wit::Request,
    ) -> wasmtime::Result<Result<wit::Response, wit::SendError>> {
        self.count_call()?;
        let limits = self.limits.clone();
        let sql = self.session.as_ref().map(|session| session.sql.clone());
        let Some(outgoing) = &mut self.outgoing else {
            let why = "requests are sent in `handle` alone".to_owned();
            return Ok(Err(wit::SendError::Denied(why)));
        };
        let causes = self.session.as_ref().and_then(|session| session.causes.as_ref());
        if causes.is_some_and(|causes| causes.events > 0) {
            let why = "events were appended in this batch, which hold up the log until it has ended: send \
                       before you append";
            return Ok(Err(wit::SendError::Denied(why.to_owned())));
        }
        let before = outgoing.waited;
        let answer = outgoing.send(sql, &limits, cause, request).await;
        // The time of a batch is for its own work and its SQL; that of requests has a limit of its own.
        self.deadline += outgoing.waited - before;
        Ok(answer.map(Into::into).map_err(Into::into))
    }
}

impl From<HttpAnswer> for wit::Response {
    fn from(HttpAnswer { status, headers, body }: HttpAnswer) -> Self {
        Self { status, headers, body }
    }
}

impl From<SendError> for wit::SendError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Denied(why) => Self::Denied(why),
            SendError::Invalid(why) => Self::Invalid(why),
            SendError::Timeout(why) => Self::Timeout(why),
            SendError::Connection(why) => Self::Connection(why),
            SendError::Limit(why) => Self::Limit(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_for_the_same_request_and_for_no_other() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        // Computed by another implementation: Python's uuid.uuid5(UUID(int=1), "hooks/1").
        assert_eq!(key("hooks", one, 1).to_string(), "76fabe3a-f3c2-586d-a748-bde364dc4ac8");
        let keys = [key("hooks", one, 1), key("hooks", one, 2), key("hooks", two, 1)];
        assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), 3);
        assert_ne!(key("hooks", one, 1), key("mails", one, 1));
    }
}
