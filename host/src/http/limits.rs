//! What a client may ask for: every limit of the API with its default.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of the HTTP API. What goes beyond one is refused with a 4xx that names it; what is
/// too much at the moment with a 503 and `Retry-After`, and nothing is queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of all bodies that are held at the same time.
    pub bodies_bytes: usize,
    /// Bytes of one event's payload.
    pub payload_bytes: usize,
    /// Events in one append.
    pub events: usize,
    /// Events in a page of a stream or of the log.
    pub page: i64,
    /// Open connections; more wait to be accepted, in the queue of the operating system.
    pub connections: usize,
    /// Requests at the same time, subscriptions not counted.
    pub requests: usize,
    /// Subscriptions at the same time.
    pub subscriptions: usize,
    /// How long a client may take to send a request's head, and then again its body.
    #[serde(with = "humantime_serde")]
    pub receive: Duration,
    /// How long an answer may take.
    #[serde(with = "humantime_serde")]
    pub answer: Duration,
    /// How long a client may take nothing of what is sent to it before it is cut.
    #[serde(with = "humantime_serde")]
    pub stalled: Duration,
    /// A subscription without events says so this often.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// A subscription is ended after this time; its client goes on with `Last-Event-ID`.
    #[serde(with = "humantime_serde")]
    pub subscription: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes: 8 * 1024 * 1024,
            bodies_bytes: 128 * 1024 * 1024,
            payload_bytes: 1024 * 1024,
            events: 1000,
            page: 1000,
            connections: 1024,
            requests: 256,
            subscriptions: 64,
            receive: Duration::from_secs(10),
            answer: Duration::from_secs(20),
            stalled: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
            subscription: Duration::from_secs(3600),
        }
    }
}

impl HttpLimits {
    /// Refuses what would answer nobody.
    ///
    /// # Errors
    /// Names the setting.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for (name, value) in [
            ("body_bytes", self.body_bytes),
            ("payload_bytes", self.payload_bytes),
            ("events", self.events),
            ("page", usize::try_from(self.page).unwrap_or(0)),
            ("connections", self.connections),
            ("requests", self.requests),
        ] {
            anyhow::ensure!(value > 0, "http.limits.{name} must be at least 1");
        }
        anyhow::ensure!(
            self.bodies_bytes >= self.body_bytes,
            "http.limits.bodies_bytes is less than body_bytes: no body of that size could be read"
        );
        for (name, value) in [
            ("receive", self.receive),
            ("answer", self.answer),
            ("stalled", self.stalled),
            ("heartbeat", self.heartbeat),
            ("subscription", self.subscription),
        ] {
            anyhow::ensure!(!value.is_zero(), "http.limits.{name} must be longer than nothing");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_together() {
        HttpLimits::default().check().unwrap();
    }

    #[test]
    fn a_limit_that_lets_nothing_through_is_refused_by_name() {
        let none = HttpLimits { requests: 0, ..HttpLimits::default() };
        assert!(none.check().unwrap_err().to_string().contains("requests"));
        let small = HttpLimits { bodies_bytes: 1, ..HttpLimits::default() };
        assert!(small.check().unwrap_err().to_string().contains("bodies_bytes"));
        let never = HttpLimits { answer: Duration::ZERO, ..HttpLimits::default() };
        assert!(never.check().unwrap_err().to_string().contains("answer"));
    }
}
