//! A reactor that sends what its events tell it to, and notes what came of it.

use std::time::Duration;

use eventfabric_sdk::prelude::*;
use http::SendError;

/// What to do.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    requests: Vec<Wanted>,
    /// An answer that is not one of success fails the event, and so does none.
    #[serde(default)]
    strict: bool,
    /// Trap after that.
    #[serde(default)]
    trap: bool,
}

#[derive(Deserialize)]
struct Wanted {
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    /// Bytes of a body, in the place of a text.
    #[serde(default)]
    bytes: usize,
    timeout_ms: Option<u64>,
    /// How often.
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

/// The reactor.
pub struct Reactor;

impl Projection for Reactor {
    type Event = Asked;

    fn describe() -> Description {
        Description::new("reactor").mode(Mode::Async).events(["Asked"]).migration(
            1,
            "sent",
            "CREATE TABLE sent (position bigint NOT NULL, number bigint NOT NULL, outcome text NOT NULL,
                                detail text NOT NULL, bytes bigint NOT NULL, PRIMARY KEY (position, number))",
        )
    }

    fn handle(tx: &Tx, event: &Event<Asked>) -> Result<()> {
        let mut number = 0_i64;
        for wanted in &event.data.requests {
            for _ in 0..wanted.times {
                number += 1;
                let sent = wanted.request().send(event);
                if event.data.strict {
                    sent.clone()?.error_for_status()?;
                }
                let (outcome, detail, bytes) = told(sent);
                tx.run(
                    "INSERT INTO sent (position, number, outcome, detail, bytes) VALUES ($1, $2, $3, $4, $5)",
                    params![event.position, number, outcome, detail, bytes],
                )?;
            }
        }
        assert!(!event.data.trap, "as it was told");
        Ok(())
    }
}

impl Wanted {
    fn request(&self) -> http::Request {
        let body = match self.bytes {
            0 => self.body.clone().into_bytes(),
            bytes => vec![b'x'; bytes],
        };
        let mut request = http::Request::post(&self.url).body(body);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match self.timeout_ms {
            Some(ms) => request.timeout(Duration::from_millis(ms)),
            None => request,
        }
    }
}

fn told(sent: Result<http::Response, SendError>) -> (String, String, i64) {
    match sent {
        Ok(answer) => (answer.status().to_string(), String::new(), answer.body().len() as i64),
        Err(error) => {
            let (outcome, why) = match error {
                SendError::Denied(why) => ("denied", why),
                SendError::Invalid(why) => ("invalid", why),
                SendError::Timeout(why) => ("timeout", why),
                SendError::Connection(why) => ("connection", why),
                SendError::Limit(why) => ("limit", why),
            };
            (outcome.to_owned(), why, 0)
        }
    }
}

export_projection!(Reactor);
