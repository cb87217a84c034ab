//! Requests to other systems, for projections of the mode `async`: a reactor. Only a plugin that uses this
//! module has the import, and it needs a grant of the operator, `https:HOST:PORT`.
//!
//! ```
//! use eventfabric_sdk::{prelude::*, testing::{self, RecordingTx, Server}};
//!
//! struct Welcome;
//!
//! impl Projection for Welcome {
//!     type Event = serde_json::Value;
//!
//!     fn describe() -> Description {
//!         Description::new("welcome").events(["Opened"])
//!     }
//!
//!     fn handle(_: &Tx, event: &Event<Self::Event>) -> Result<()> {
//!         http::Request::post("https://mail.example.com/welcome")
//!             .json(&event.data)
//!             .header("authorization", config::get("token").unwrap_or_default())
//!             .send(event)?
//!             .error_for_status()?;
//!         Ok(())
//!     }
//! }
//!
//! let server = Server::new();
//! server.answer(http::Response::new(503).with_header("retry-after", "5"));
//! let event = testing::event("Opened", r#"{"owner": "Ada"}"#);
//! let failure = testing::run::<Welcome>(&RecordingTx::new(), [event]).unwrap_err();
//! assert_eq!(failure.kind, FailureKind::Retry);
//! assert_eq!(server.requests()[0].url, "https://mail.example.com/welcome");
//! ```
//!
//! A request is sent at least once: an event whose handling fails after it is handled again, and sends it
//! again, with the same `Idempotency-Key`. The host makes that header of the projection, the event and the
//! place of the request among those of the event; so send them in the same order each time.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::reactor::eventfabric::reactor::outgoing;
use crate::{Error, Event, Result};

pub use outgoing::{Method, SendError};

/// A request that is being put together.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "nothing is sent before `send`"]
pub struct Request {
    raw: outgoing::Request,
    /// What went wrong on the way.
    wrong: Option<String>,
}

impl Request {
    /// A request to a URL with scheme and host.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        let raw = outgoing::Request { method, url: url.into(), headers, body, timeout_ms: None };
        Self { raw, wrong: None }
    }

    /// GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// POST.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::Post, url)
    }

    /// PUT.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new(Method::Put, url)
    }

    /// PATCH.
    pub fn patch(url: impl Into<String>) -> Self {
        Self::new(Method::Patch, url)
    }

    /// DELETE.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new(Method::Delete, url)
    }

    /// One header more. Those of the connection, and `Idempotency-Key`, are the host's.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.raw.headers.push((name.into(), value.into()));
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.raw.body = body.into();
        self
    }

    /// A value as JSON, with the `Content-Type` of it.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(error) => Self { wrong: Some(format!("the body is no JSON: {error}")), ..self },
        }
    }

    /// The time for the whole of it, where it is less than the host's own limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.raw.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sends it, and waits for the answer. `cause` is the event that it tells of.
    ///
    /// # Errors
    /// Where there is no answer; a status, whatever it is, is one. By `?`, time-outs and connections become
    /// [retries](Error::retry), and the other errors are [poison](Error::poison): an event that names a server
    /// which is not granted must not stop the projection for all.
    pub fn send<T>(self, cause: &Event<T>) -> Result<Response, SendError> {
        if let Some(wrong) = self.wrong {
            return Err(SendError::Invalid(wrong));
        }
        #[cfg(target_arch = "wasm32")]
        return outgoing::send(cause.index, &self.raw).map(Response);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::send(cause.index, self.raw)
    }
}

/// What a server has answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Response(outgoing::Response);

impl Response {
    /// An answer without headers and body, for [`testing::Server`](crate::testing).
    pub fn new(status: u16) -> Self {
        Self(outgoing::Response { status, headers: Vec::new(), body: Vec::new() })
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.0.headers.iter();
        let mut of = headers.filter(|(is, _)| is.eq_ignore_ascii_case(name));
        of.next().map(|(_, value)| value.as_str())
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.body).into_owned()
    }

    /// The body, read from JSON.
    ///
    /// # Errors
    /// Poison, when it is not what `T` expects.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.0.body).map_err(|error| {
            Error::poison(format_args!("the answer ({}) can't be read: {error}", self.status()))
        })
    }

    /// The answer, where its status is one of success.
    ///
    /// # Errors
    /// For 408, 425, 429 and from 500 on a [retry](Error::retry), as the server may do better later; for all
    /// else [poison](Error::poison), redirects included, for they are not followed. The message has the
    /// status, `Retry-After` or `Location`, and the beginning of the body.
    pub fn error_for_status(self) -> Result<Self> {
        let status = self.status();
        if (200..300).contains(&status) {
            return Ok(self);
        }
        let mut message = format!("the server answered {status}");
        for name in ["retry-after", "location"] {
            if let Some(value) = self.header(name) {
                message += &format!(", {name}: {value}");
            }
        }
        let body: String = self.text().chars().take(200).collect();
        if !body.is_empty() {
            message += &format!(": {body}");
        }
        Err(match status {
            408 | 425 | 429 | 500.. => Error::retry(message),
            _ => Error::poison(message),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    #[test]
    fn what_can_pass_is_tried_again_and_the_rest_is_poison() {
        use FailureKind::{Poison, Retry};
        for (error, kind) in [
            (SendError::Timeout("t".into()), Retry),
            (SendError::Connection("c".into()), Retry),
            (SendError::Denied("d".into()), Poison),
            (SendError::Invalid("i".into()), Poison),
            (SendError::Limit("l".into()), Poison),
        ] {
            let failed = || -> Result<()> { Err(error.clone())? };
            assert_eq!(failed().unwrap_err().kind(), kind, "{error:?}");
        }
        for (status, kind) in [
            (301, Poison),
            (400, Poison),
            (404, Poison),
            (408, Retry),
            (425, Retry),
            (429, Retry),
            (500, Retry),
            (503, Retry),
            (999, Retry),
        ] {
            assert_eq!(Response::new(status).error_for_status().unwrap_err().kind(), kind);
        }
        assert_eq!(Response::new(204).error_for_status().unwrap().status(), 204);
    }

    #[test]
    fn the_message_of_a_bad_status_says_when_to_come_back() {
        let busy = Response::new(429).with_header("Retry-After", "30").with_body("slow down");
        let error = busy.error_for_status().unwrap_err();
        assert_eq!(error.message(), "the server answered 429, retry-after: 30: slow down");
    }
}
