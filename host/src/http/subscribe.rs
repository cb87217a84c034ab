//! `GET /v1/events/subscribe`: the log as server-sent events.
//!
//! Each subscription is a task that reads the log and hands frames to its client through a channel
//! of a few places. A client that takes nothing holds those, and is cut after a while; one that was
//! cut, for whatever reason, goes on after the last `id` that it has seen.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event as Frame, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use metrics::{counter, gauge};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::event_body::EventBody;
use super::expected::one;
use super::extract::Tenant;
use super::limits::HttpLimits;
use super::params::Params;
use super::problem::{Code, Problem};
use super::reader::{FILTERS, LogReader};
use super::responses::SubscribeProblems;
use super::state::Api;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Frames between the reader and the connection.
const FRAMES: usize = 8;
/// Events that are read at a time.
const STEP: i64 = 64;
/// How soon a client should come back after it was cut.
const COME_BACK: Duration = Duration::from_secs(1);
/// After an error of the database.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Subscribe to the log
///
/// Server-sent events, without end: those of one tenant after a position, in the order of positions,
/// each once. The `id` of a message is the event's position, its data the event as JSON. Messages
/// without data carry a new `id` alone: everything up to there is known not to match. A client that
/// was cut sends the last `id` in `Last-Event-ID`, as browsers do by themselves, and misses nothing.
#[utoipa::path(
    get,
    path = "/events/subscribe",
    operation_id = "subscribe",
    tag = "log",
    params(
        ("after" = Option<i64>, Query, minimum = 0,
            description = "The position after which to begin [default: 0]"),
        ("type" = Option<Vec<String>>, Query, description = "Only these types"),
        ("aggregate" = Option<Vec<String>>, Query, description = "Only these kinds of aggregate"),
        ("Last-Event-ID" = Option<i64>, Header, minimum = 0,
            description = "The last position that was seen; over `after`"),
    ),
    responses(
        (status = 200, description = "Events as they come", body = String,
            content_type = "text/event-stream"),
        SubscribeProblems,
    ),
)]
pub(super) async fn subscribe(
    State(api): State<Api>,
    tenant: Tenant,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    params.only(&["after", FILTERS[0], FILTERS[1]])?;
    let after = params.number("after", 0, i64::MAX)?.unwrap_or(0);
    let after = last_event_id(&headers)?.unwrap_or(after);
    if api.stop.is_cancelled() {
        return Err(Problem::new(Code::Stopping, "the host is being stopped"));
    }
    let permit = api.subscriptions.clone().try_acquire_owned().map_err(|_| {
        Problem::new(
            Code::Overloaded,
            "there are as many subscriptions as the API takes (http.limits.subscriptions)",
        )
    })?;
    let (frames, receiver) = mpsc::channel(FRAMES);
    let subscription = Subscription {
        reader: LogReader::new(tenant.0, &params, after),
        frames,
        limits: api.limits.clone(),
        stop: api.stop.clone(),
        _permit: permit,
    };
    api.tasks.spawn(subscription.run());
    let frames = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (Ok::<_, Infallible>(frame), receiver))
    });
    Ok(Sse::new(frames).into_response())
}

/// None where a client has seen nothing yet.
fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    match one(headers, &LAST_EVENT_ID)? {
        None | Some("") => Ok(None),
        Some(id) => match id.parse() {
            Ok(position) if position >= 0 => Ok(Some(position)),
            _ => Err(Problem::invalid("Last-Event-ID is a position, a whole number from 0")),
        },
    }
}

struct Subscription {
    reader: LogReader,
    frames: mpsc::Sender<Frame>,
    limits: HttpLimits,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// Why a subscription ends.
enum End {
    /// Its time is over, the host stops, or the client has gone away.
    Asked,
    /// The client takes nothing.
    Stalled,
}

impl Subscription {
    async fn run(mut self) {
        gauge!("eventfabric_http_subscriptions").increment(1.0);
        if let End::Stalled = self.follow().await {
            counter!("eventfabric_http_subscriptions_cut_total").increment(1);
            tracing::info!(
                after = ?self.limits.stalled,
                position = self.reader.position(),
                "a subscriber that takes nothing is cut"
            );
        }
        gauge!("eventfabric_http_subscriptions").decrement(1.0);
    }

    async fn follow(&mut self) -> End {
        let ends = Instant::now() + self.limits.subscription;
        let (stop, gone) = (self.stop.clone(), self.frames.clone());
        let asked = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = gone.closed() => {}
                () = tokio::time::sleep_until(ends) => {}
            }
        };
        tokio::select! {
            biased;
            () = asked => End::Asked,
            end = self.send_all() => end,
        }
    }

    /// Never ends by itself, but for a client that takes nothing.
    async fn send_all(&mut self) -> End {
        let hello = self.here().retry(COME_BACK).comment("from here");
        if self.send(hello).await.is_err() {
            return End::Stalled;
        }
        let mut spoken = Instant::now();
        let mut failing = false;
        loop {
            let mut wait = None;
            match self.reader.step(STEP).await {
                Ok(step) => {
                    failing = false;
                    for event in step.events {
                        let position = event.position.to_string();
                        let Ok(data) = serde_json::to_string(&EventBody::from(event)) else {
                            continue;
                        };
                        if self.send(Frame::default().id(position).data(data)).await.is_err() {
                            return End::Stalled;
                        }
                        spoken = Instant::now();
                    }
                    if step.more {
                        wait = Some(Duration::ZERO);
                    }
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "a subscription waits for the database");
                    }
                    failing = true;
                    wait = Some(READ_AGAIN);
                }
            }
            let heartbeat = spoken + self.limits.heartbeat;
            match wait {
                Some(time) => tokio::time::sleep(time).await,
                None => {
                    let _ = tokio::time::timeout_at(heartbeat, self.reader.changed()).await;
                }
            }
            if Instant::now() >= heartbeat {
                if self.send(self.here().comment("heartbeat")).await.is_err() {
                    return End::Stalled;
                }
                spoken = Instant::now();
            }
        }
    }

    /// A frame without data, after which a client goes on from here.
    fn here(&self) -> Frame {
        Frame::default().id(self.reader.position().to_string())
    }

    async fn send(&self, frame: Frame) -> Result<(), mpsc::error::SendTimeoutError<Frame>> {
        self.frames.send_timeout(frame, self.limits.stalled).await
    }
}
