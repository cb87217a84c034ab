//! Relaying the log to NATS JetStream: what a message looks like, and how many of them come to be safe in a
//! stream. Which events, in which order and how often is the runner's matter; this is a sink for it.

mod config;
mod connection;
mod credentials;
mod escape;
mod message;
mod nats;
mod subject;

pub use config::{NatsConfig, NatsUrl, Secret};
pub use subject::{InvalidSubject, Subject};
