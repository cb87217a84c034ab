//! `GET /v1/plugins/{name}/logs`

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Frame, Sse};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use futures::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::ToSchema;

use super::extract::{Name, Operator};
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{ReadProblems, json};
use super::state::Api;
use crate::plugin::{self, LogLevel, LogLine};

/// How often to look for new lines.
const LOOK: Duration = Duration::from_millis(500);
/// Lines that are read at a time, and frames between the reader and the connection.
const PAGE: i64 = 1000;
const FRAMES: usize = 8;

/// A line that a plugin has said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginLogLine)]
pub(super) struct LineBody {
    /// Counts the lines.
    id: i64,
    /// When.
    at: DateTime<Utc>,
    /// `trace`, `debug`, `info`, `warn`, `error`.
    level: String,
    /// The beginning of the SHA-256 of the version that said it.
    version: String,
    /// The positions of the first and of the last event of the batch.
    positions: String,
    /// The line.
    message: String,
    /// The host that ran it.
    host: String,
}

impl From<LogLine> for LineBody {
    fn from(line: LogLine) -> Self {
        Self {
            id: line.id,
            at: line.at,
            level: line.level.to_string(),
            version: line.version,
            positions: line.positions,
            message: line.message,
            host: line.host,
        }
    }
}

/// How severe a line is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = LogLevel)]
#[expect(
    dead_code,
    reason = "it is here for the document; the parameter is read as the plugin's own type"
)]
pub(super) enum LevelBody {
    /// Of no interest but to the author.
    Trace,
    /// What was printed.
    Debug,
    /// As the plugin says.
    Info,
    /// As the plugin says.
    Warn,
    /// As the plugin says.
    Error,
}

/// Lines of a plugin, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginLogs)]
pub(super) struct LogsBody {
    lines: Vec<LineBody>,
}

/// What a plugin has said
///
/// The last lines that the hosts have kept, also those of batches that were rolled back. With `follow`, they and
/// what comes after them as server-sent events: the `id` is the line's, the data a line as JSON.
#[utoipa::path(
    get,
    path = "/plugins/{name}/logs",
    operation_id = "readPluginLogs",
    tag = "operation",
    params(
        ("name" = String, Path, description = "The plugin", min_length = 1, max_length = 512),
        ("level" = Option<LevelBody>, Query, description = "Of this severity and above"),
        ("lines" = Option<i64>, Query, minimum = 0, maximum = 1000,
            description = "The last so many [default: 100]"),
        ("follow" = Option<bool>, Query, description = "Go on with what comes"),
    ),
    responses(
        (status = 200, description = "Its lines",
            content((LogsBody = "application/json"), (LineBody = "text/event-stream"))),
        ReadProblems,
    ),
)]
pub(super) async fn logs(
    State(api): State<Api>,
    _: Operator,
    Name(name): Name,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["level", "lines", "follow"])?;
    let level = params.parsed::<LogLevel>("level")?.unwrap_or(LogLevel::Trace);
    let count = params.number("lines", 0, PAGE)?.unwrap_or(100);
    let follow = params.parsed::<bool>("follow")?.unwrap_or(false);
    let pool = api.host.store().pool();
    // First: what comes meanwhile is told, and once.
    let newest = plugin::logs(pool, &name, None, LogLevel::Trace, 1).await;
    let newest = newest.map_err(|error| Problem::of_database(&error))?;
    let lines = plugin::logs(pool, &name, None, level, count).await;
    let lines = lines.map_err(|error| Problem::of_database(&error))?;
    if !follow {
        return Ok(json(&LogsBody { lines: lines.into_iter().map(Into::into).collect() }));
    }
    if api.stop.is_cancelled() {
        return Err(Problem::new(Code::Stopping, "the host is being stopped"));
    }
    let permit = api.subscriptions.clone().try_acquire_owned().map_err(|_| {
        Problem::new(
            Code::Overloaded,
            "there are as many subscriptions as the API takes (http.limits.subscriptions)",
        )
    })?;
    let after = newest.iter().chain(&lines).map(|line| line.id).max().unwrap_or(0);
    let (frames, receiver) = mpsc::channel(FRAMES);
    api.tasks.clone().spawn(async move {
        let (stop, gone) = (api.stop.clone(), frames.clone());
        tokio::select! {
            () = stop.cancelled() => {}
            () = gone.closed() => {}
            () = tokio::time::sleep(api.limits.subscription) => {}
            () = follow_lines(&api, &name, level, lines, after, frames, permit) => {}
        }
    });
    let frames = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (Ok::<_, Infallible>(frame), receiver))
    });
    Ok(Sse::new(frames).into_response())
}

/// Ends when the client takes nothing.
async fn follow_lines(
    api: &Api,
    name: &str,
    level: LogLevel,
    mut lines: Vec<LogLine>,
    mut after: i64,
    frames: mpsc::Sender<Frame>,
    _permit: OwnedSemaphorePermit,
) {
    let mut spoken = tokio::time::Instant::now();
    loop {
        let more = lines.len() as i64 == PAGE;
        for line in lines.drain(..) {
            after = after.max(line.id);
            let id = line.id.to_string();
            let Ok(data) = serde_json::to_string(&LineBody::from(line)) else { continue };
            let frame = Frame::default().id(id).data(data);
            if frames.send_timeout(frame, api.limits.stalled).await.is_err() {
                return;
            }
            spoken = tokio::time::Instant::now();
        }
        if spoken.elapsed() >= api.limits.heartbeat {
            let heartbeat = Frame::default().comment("heartbeat");
            if frames.send_timeout(heartbeat, api.limits.stalled).await.is_err() {
                return;
            }
            spoken = tokio::time::Instant::now();
        }
        if !more {
            tokio::time::sleep(LOOK).await;
        }
        match plugin::logs(api.host.store().pool(), name, Some(after), level, PAGE).await {
            Ok(next) => lines = next,
            Err(error) => tracing::debug!(%error, "who follows the lines of a plugin waits"),
        }
    }
}
