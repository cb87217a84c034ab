//! The sink: batches of messages over connections that each carry one batch at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_nats::HeaderMap;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::config::NatsConfig;
use super::connection::Connection;
use super::subject::LONGEST;
use super::{connection, message};
use crate::event::Event;
use crate::projection::{Failure, FailureKind};
use crate::runner::Sink;

/// Connections that are kept for later, at most.
const SPARE: usize = 4;

/// A message that is ready to be sent.
pub(super) struct Message {
    pub subject: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Publishes events to one stream.
pub(super) struct Nats {
    config: NatsConfig,
    /// The label of an aggregate's events.
    topics: BTreeMap<String, String>,
    /// Connections on which nothing is on its way. One whose batch failed, or was given up, is never used
    /// again: what comes after the messages that it lost must not be stored before them.
    spare: Mutex<Vec<Connection>>,
}

impl Nats {
    pub(super) fn new(config: NatsConfig, topics: BTreeMap<String, String>) -> Self {
        Self { config, topics, spare: Mutex::default() }
    }

    async fn publish(&self, events: &[Event]) -> Result<(), Failure> {
        let connection = match self.spare() {
            Some(connection) => connection,
            None => {
                let connect = Connection::open(&self.config);
                let opened = tokio::time::timeout(self.config.timeout, connect).await;
                opened
                    .map_err(|_| format!("it did not answer within {:?}", self.config.timeout))
                    .flatten()
                    .map_err(|why| self.retry(&why))?
            }
        };
        // The other connections may know an older limit still than who raises it then.
        let messages = self.messages(events, &connection).inspect_err(|_| self.forget())?;
        let sent = tokio::time::timeout(self.config.timeout, connection.publish(messages)).await;
        match sent {
            Ok(Ok(())) => {
                let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
                if spare.len() < SPARE {
                    spare.push(connection);
                }
                Ok(())
            }
            Ok(Err(connection::Refused::Message(index, why))) => Err(poison(index, why)),
            Ok(Err(connection::Refused::All(why))) => Err(self.retry(&why)),
            Err(_) => Err(self.retry(&match connection.said() {
                Some(said) => format!("it did not store the events and said: {said}"),
                None => format!(
                    "it did not confirm within {:?} that they are stored",
                    self.config.timeout
                ),
            })),
        }
    }

    fn forget(&self) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn spare(&self) -> Option<Connection> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| spare.pop()).find(Connection::is_open)
    }

    /// The events as messages. One that is too large is not sent, nor is anything else of its batch: those
    /// before it come alone then.
    fn messages(&self, events: &[Event], to: &Connection) -> Result<Vec<Message>, Failure> {
        let messages = events.iter().enumerate().map(|(index, event)| {
            let topic = self.topics.get(&event.stream.aggregate).map(String::as_str);
            let subject = self.config.subject.of(event, topic);
            if subject.len() > LONGEST {
                let why = format!(
                    "its subject has {} bytes, and at most {LONGEST} are sent: leave {{id}} or another long \
                     name out of `subject`",
                    subject.len()
                );
                return Err(poison(index, why));
            }
            let body = message::body(event).map_err(|error| poison(index, error.to_string()))?;
            let headers = message::headers(event, &self.config.stream);
            let size = message::size(&headers, &body);
            let (limit, whose) = to.limit();
            if size > limit {
                return Err(poison(
                    index,
                    format!("its message has {size} bytes, and {whose} allows {limit} bytes"),
                ));
            }
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(name, value);
            }
            Ok(Message { subject, headers: map, body })
        });
        messages.collect()
    }

    /// What passes, or is mended over there.
    fn retry(&self, why: &str) -> Failure {
        Failure::new(FailureKind::Retry, format!("NATS ({}): {why}", self.config.url))
    }
}

fn poison(index: usize, why: String) -> Failure {
    Failure { index: Some(index), ..Failure::new(FailureKind::Poison, why) }
}

impl Sink for Nats {
    fn put<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Failure>> {
        self.publish(events).boxed()
    }
}
