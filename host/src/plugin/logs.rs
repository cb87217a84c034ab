//! The last lines of each plugin, kept in the database for whoever asks: by the host, beside the plugins'
//! transactions, so also those of a batch that was rolled back; as well as it can, and in a bounded number.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::lines::Level;

/// Lines of plugins on their way to the database. What finds no place there is only in the log of the host.
const WAITING: usize = 1024;
/// Lines that come within this time are written together.
const GATHER: Duration = Duration::from_millis(200);

/// Which lines are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// So many of each plugin; 0: none.
    pub lines: u32,
    /// Of this severity and above.
    pub level: Level,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { lines: 1000, level: Level::Debug }
    }
}

/// A line on its way.
#[derive(Debug)]
pub(super) struct Said {
    pub plugin: String,
    pub at: DateTime<Utc>,
    pub level: Level,
    pub version: String,
    pub positions: String,
    pub message: String,
}

/// Where lines go that are to be kept.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    lines: mpsc::Sender<Said>,
    level: Level,
}

impl Sink {
    /// A sink, and what comes out of it.
    pub(super) fn new(level: Level) -> (Self, mpsc::Receiver<Said>) {
        let (lines, said) = mpsc::channel(WAITING);
        (Self { lines, level }, said)
    }

    pub(super) fn takes(&self, level: Level) -> bool {
        level >= self.level
    }

    /// Best effort: a plugin never waits for its log.
    pub(super) fn take(&self, said: Said) {
        let _ = self.lines.try_send(said);
    }
}

/// A line that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Counts the lines.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// How severe.
    pub level: Level,
    /// The beginning of the SHA-256 of the version that said it.
    pub version: String,
    /// The positions of the first and of the last event of the batch.
    pub positions: String,
    /// The line.
    pub message: String,
    /// The host that ran it.
    pub host: String,
}

/// Lines of a plugin of this severity and above, oldest first: the last ones, or the next ones after a line.
///
/// # Errors
/// The database's.
pub async fn logs(
    executor: impl PgExecutor<'_>,
    plugin: &str,
    after: Option<i64>,
    level: Level,
    limit: i64,
) -> sqlx::Result<Vec<LogLine>> {
    let rows = sqlx::query_file!("src/plugin/sql/logs.sql", plugin, after, level as i16, limit)
        .fetch_all(executor)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| LogLine {
            id: row.id,
            at: row.at,
            level: Level::of(row.level),
            version: row.version,
            positions: row.positions,
            message: row.message,
            host: row.host,
        })
        .collect())
}

/// Writes what plugins say, until cancelled, and keeps the last lines of each.
pub(super) async fn keep(
    pool: PgPool,
    mut said: mpsc::Receiver<Said>,
    host: String,
    lines: u32,
    stop: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            count = said.recv_many(&mut batch, WAITING) => if count == 0 { return },
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(GATHER) => {}
        }
        while batch.len() < WAITING
            && let Ok(line) = said.try_recv()
        {
            batch.push(line);
        }
        if let Err(error) = write(&pool, &batch, &host, lines).await {
            tracing::debug!(%error, lines = batch.len(), "lines of plugins were not kept");
        }
        batch.clear();
    }
}

async fn write(pool: &PgPool, batch: &[Said], host: &str, lines: u32) -> sqlx::Result<()> {
    let column = |of: fn(&Said) -> String| batch.iter().map(of).collect::<Vec<_>>();
    let at: Vec<_> = batch.iter().map(|said| said.at).collect();
    let levels: Vec<_> = batch.iter().map(|said| said.level as i16).collect();
    sqlx::query_file!(
        "src/plugin/sql/logs_write.sql",
        &column(|said| said.plugin.clone()),
        &at,
        &levels,
        &column(|said| said.version.clone()),
        &column(|said| said.positions.clone()),
        // PostgreSQL has no NUL.
        &column(|said| said.message.replace('\0', "\u{fffd}")),
        host,
    )
    .execute(pool)
    .await?;
    let mut plugins = column(|said| said.plugin.clone());
    plugins.sort_unstable();
    plugins.dedup();
    sqlx::query_file!("src/plugin/sql/logs_drop.sql", &plugins, i64::from(lines))
        .execute(pool)
        .await?;
    Ok(())
}

impl Level {
    /// As the database has it.
    fn of(number: i16) -> Self {
        match number {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            _ => Self::Error,
        }
    }

    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        (0..=4)
            .map(Self::of)
            .find(|level| level.as_str() == text)
            .ok_or("give `trace`, `debug`, `info`, `warn` or `error`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_and_a_number() {
        for number in 0..=4 {
            let level = Level::of(number);
            assert_eq!((level as i16, level.as_str().parse()), (number, Ok(level)));
        }
        assert!("loud".parse::<Level>().is_err() && Level::Warn > Level::Info);
    }

    #[test]
    fn what_finds_no_place_is_left_out() {
        let (sink, mut said) = Sink::new(Level::Info);
        assert!(sink.takes(Level::Info) && !sink.takes(Level::Debug));
        for n in 0..WAITING + 5 {
            sink.take(Said {
                plugin: "p".to_owned(),
                at: Utc::now(),
                level: Level::Info,
                version: String::new(),
                positions: String::new(),
                message: n.to_string(),
            });
        }
        let kept = std::iter::from_fn(|| said.try_recv().ok()).count();
        assert_eq!(kept, WAITING);
    }
}
