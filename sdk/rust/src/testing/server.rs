//! A server that only remembers.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::bindings::reactor::eventfabric::reactor::outgoing;
use crate::http::{Method, Response, SendError};

/// A request that a plugin has sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The index of its event in the batch.
    pub cause: u32,
    /// How.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// Names and values, as the plugin gave them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Default)]
struct World {
    answers: VecDeque<Result<Response, SendError>>,
    requests: Vec<Sent>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// All servers there are, for what runs on this thread as long as this lives. It answers in turn what it was told,
/// and then with the status 200.
#[derive(Debug)]
pub struct Server(());

impl Server {
    /// One that was told nothing.
    #[expect(clippy::new_without_default, reason = "it takes the place of the world")]
    pub fn new() -> Self {
        WORLD.set(Some(World::default()));
        Self(())
    }

    /// Another request gets this answer.
    pub fn answer(&self, response: Response) {
        Self::tell(Ok(response));
    }

    /// Another request gets none.
    pub fn fail(&self, error: SendError) {
        Self::tell(Err(error));
    }

    /// What was sent so far.
    pub fn requests(&self) -> Vec<Sent> {
        WORLD.with_borrow(|world| world.as_ref().map_or_else(Vec::new, |w| w.requests.clone()))
    }

    fn tell(answer: Result<Response, SendError>) {
        WORLD.with_borrow_mut(|world| {
            if let Some(world) = world {
                world.answers.push_back(answer);
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        WORLD.set(None);
    }
}

pub(crate) fn send(cause: u32, request: outgoing::Request) -> Result<Response, SendError> {
    WORLD.with_borrow_mut(|world| {
        let Some(world) = world else {
            let why = "there is no server in this test: make a `testing::Server`";
            return Err(SendError::Connection(why.into()));
        };
        let outgoing::Request { method, url, headers, body, .. } = request;
        world.requests.push(Sent { cause, method, url, headers, body });
        world.answers.pop_front().unwrap_or_else(|| Ok(Response::new(200)))
    })
}
