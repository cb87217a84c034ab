//! A list of answers in the place of the world, for who tries a plugin.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use super::{HttpAnswer, SendError};

/// What a plugin would have sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Such as `POST`.
    pub method: String,
    /// As the plugin wrote it.
    pub url: String,
    /// Names, in lower case, and values; those that the host adds, too.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Keeps requests and answers them in turn. What it has no answer for, it answers with the status 200 and
/// nothing.
#[derive(Debug, Default)]
pub struct Rehearsal {
    state: Mutex<Run>,
}

#[derive(Debug, Default)]
struct Run {
    answers: VecDeque<Result<HttpAnswer, SendError>>,
    kept: Vec<Kept>,
}

impl Rehearsal {
    /// One that has these answers.
    pub fn new(answers: Vec<Result<HttpAnswer, SendError>>) -> Self {
        let run = Run { answers: answers.into(), kept: Vec::new() };
        Self { state: Mutex::new(run) }
    }

    /// What was kept so far.
    pub fn kept(&self) -> Vec<Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }

    pub(super) fn answer(
        &self,
        url: String,
        request: Request<Full<Bytes>>,
    ) -> Result<HttpAnswer, SendError> {
        let (head, body) = request.into_parts();
        let headers = head.headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let kept = Kept {
            method: head.method.to_string(),
            url,
            headers: headers.collect(),
            body: body.into_inner().map(|body| body.to_vec()).unwrap_or_default(),
        };
        let mut run = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        run.kept.push(kept);
        let nothing = HttpAnswer { status: 200, headers: Vec::new(), body: Vec::new() };
        run.answers.pop_front().unwrap_or(Ok(nothing))
    }
}
