//! The settings of a relay.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::nats::Nats;
use super::subject::Subject;
use crate::runner::Relay;

/// A relay to a stream of NATS JetStream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsConfig {
    /// Where the servers are.
    pub url: NatsUrl,
    /// The stream, which keeps what is published to the subjects.
    pub stream: String,
    /// Which subject an event is published to.
    #[serde(default = "default_subject")]
    pub subject: Subject,
    /// Only events of these types; empty for all.
    #[serde(default)]
    pub types: Vec<String>,
    /// Only events of these kinds of aggregate; empty for all.
    #[serde(default)]
    pub aggregates: Vec<String>,
    /// A file with credentials (`.creds`).
    pub credentials: Option<PathBuf>,
    /// A token.
    pub token: Option<Secret>,
    /// A file with the certificates of authorities to trust beside the machine's own.
    pub ca: Option<PathBuf>,
    /// A file with a certificate of this client, and `key` with its key.
    pub certificate: Option<PathBuf>,
    /// See `certificate`.
    pub key: Option<PathBuf>,
    /// Make the stream where it is not there.
    #[serde(default)]
    pub create: bool,
    /// Of a stream that is made: on so many servers.
    #[serde(default = "default_replicas")]
    pub replicas: usize,
    /// Of a stream that is made: for so long it knows messages that come again.
    #[serde(default = "default_window", with = "humantime_serde")]
    pub duplicate_window: Duration,
    /// Events that are on their way at a time, at most; 1 to 5,000.
    #[serde(default = "default_batch")]
    pub batch: i64,
    /// How long connecting may take, and how long a batch.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
}

/// Characters of the name of a relay.
const NAME_LENGTH: usize = 48;

/// Confirmations that can be waited for at a time.
const MOST: i64 = 5000;

fn default_subject() -> Subject {
    "events.{tenant}.{aggregate}.{type}".parse().expect("it is a subject")
}

fn default_replicas() -> usize {
    1
}

fn default_window() -> Duration {
    Duration::from_secs(600)
}

fn default_batch() -> i64 {
    500
}

fn default_timeout() -> Duration {
    Duration::from_secs(5)
}

impl NatsConfig {
    /// The relay of this name. `topics`: the label of an aggregate's events, for `{topic}`.
    pub fn relay(&self, name: &str, topics: &BTreeMap<String, String>) -> Arc<Relay> {
        Arc::new(Relay {
            name: Relay::projection(name),
            text: format!("relays events to the stream {} of NATS", self.stream),
            form: self.form(topics),
            types: self.types.clone(),
            aggregates: self.aggregates.clone(),
            batch: self.batch,
            // The sink says more of what took so long.
            time: self.timeout * 2 + Duration::from_secs(1),
            sink: Box::new(Nats::new(self.clone(), topics.clone())),
        })
    }

    /// What decides where an event goes: hosts that disagree in it do not take turns.
    fn form(&self, topics: &BTreeMap<String, String>) -> String {
        let form = format!("{} {}", self.stream, self.subject);
        if self.subject.has_topic() { format!("{form} {topics:?}") } else { form }
    }

    /// Refuses relays of which one would have JetStream drop what the other has published: it knows the events
    /// of a stream by their ids.
    ///
    /// # Errors
    /// Names both.
    pub fn check_all(relays: &BTreeMap<String, Self>) -> anyhow::Result<()> {
        let mut streams = BTreeMap::new();
        for (name, relay) in relays {
            relay.check(name)?;
            if let Some(other) = streams.insert((&relay.url.0, &relay.stream), name) {
                anyhow::bail!(
                    "relay.{name} and relay.{other} publish to the same stream {}, which would keep each event \
                     of one of them alone: give each a stream of its own, or make one relay of them",
                    relay.stream
                );
            }
        }
        Ok(())
    }

    /// Refuses what could not work.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self, name: &str) -> anyhow::Result<()> {
        let is_name =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
        anyhow::ensure!(
            (1..=NAME_LENGTH).contains(&name.len()) && name.chars().all(is_name),
            "[relay.{name}]: the name of a relay is made of 1 to {NAME_LENGTH} lower case letters, digits, `_` and `-`"
        );
        anyhow::ensure!(
            !self.stream.is_empty()
                && !self.stream.contains(['.', '*', '>', '/', '\\'])
                && self.stream.chars().all(|c| c.is_ascii_graphic()),
            "relay.{name}.stream is `{}`, and no stream can have this name",
            self.stream
        );
        anyhow::ensure!(
            (1..=MOST).contains(&self.batch),
            "relay.{name}.batch is {}, and must be from 1 to {MOST}",
            self.batch
        );
        anyhow::ensure!(
            !self.timeout.is_zero(),
            "relay.{name}.timeout must be longer than nothing"
        );
        anyhow::ensure!(
            self.credentials.is_none() || self.token.is_none(),
            "set relay.{name}.credentials or relay.{name}.token, not both"
        );
        anyhow::ensure!(
            self.certificate.is_some() == self.key.is_some(),
            "relay.{name}.certificate and relay.{name}.key go together"
        );
        Ok(())
    }
}

/// Something that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// The secret.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The addresses of servers, of which one is connected to: `nats://user:password@host:4222`, or several with
/// commas between them; with `tls://` TLS is insisted on.
///
/// ```
/// let url: eventfabric::relay::NatsUrl = "nats://me:secret@a.example,tls://b.example:4223".parse().unwrap();
/// assert_eq!(url.to_string(), "nats://a.example,tls://b.example:4223");
/// assert!(!format!("{url:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NatsUrl(Vec<String>);

/// A text that is no address of NATS servers. Says nothing of it, for it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not of the form nats://user:password@host:4222 (or tls://…, or several with commas between them); what is \
     special in a URL is written %40 for @, %2C for a comma in a password"
)]
pub struct InvalidUrl;

impl NatsUrl {
    /// Each of the addresses, with its password: never to be shown.
    pub(super) fn expose(&self) -> &[String] {
        &self.0
    }
}

impl std::str::FromStr for NatsUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let servers: Vec<String> = text.split(',').map(|server| server.trim().to_owned()).collect();
        let is_server = |server: &String| {
            let (scheme, rest) = server.split_once("://").unwrap_or_default();
            matches!(scheme, "nats" | "tls")
                && !rest.rsplit('@').next().unwrap_or_default().is_empty()
                && server.parse::<async_nats::ServerAddr>().is_ok()
        };
        if servers.iter().all(is_server) { Ok(Self(servers)) } else { Err(InvalidUrl) }
    }
}

impl TryFrom<String> for NatsUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        text.parse()
    }
}

impl Serialize for NatsUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, server) in self.0.iter().enumerate() {
            let (scheme, rest) = server.split_once("://").unwrap_or_default();
            let host = rest.rsplit('@').next().unwrap_or_default();
            write!(f, "{}{scheme}://{host}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
