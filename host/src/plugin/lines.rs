//! What a plugin says: its log, and what it prints.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::logs::{Said, Sink};
use super::version::Version;
use crate::sandbox::Recorder;
use crate::trace;

/// As much of the last that a plugin wrote to stderr as fits a message: there a panic explains
/// itself.
const LAST_WORDS: usize = 2048;

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
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

/// One of the two streams that a plugin can print to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The lines of one batch, on their way to the host's tracing, and to where they are kept.
pub struct Lines {
    plugin: Arc<str>,
    version: Version,
    positions: String,
    left: u32,
    length: usize,
    dropped: u64,
    sink: Option<Sink>,
    heard: Option<Arc<Recorder<String>>>,
    unfinished: [Vec<u8>; 2],
    stderr: Vec<u8>,
    last_error: Option<String>,
    /// Lines of a call of which it is not known yet whether it counts.
    held: Option<Vec<(DateTime<Utc>, Level, String)>>,
}

impl Lines {
    /// None yet.
    pub fn new(
        plugin: Arc<str>,
        version: Version,
        positions: String,
        limits: &Limits,
        sink: Option<Sink>,
    ) -> Self {
        Self {
            plugin,
            version,
            positions,
            left: limits.log_lines,
            length: limits.log_line_bytes,
            dropped: 0,
            sink,
            heard: None,
            unfinished: [Vec::new(), Vec::new()],
            stderr: Vec::new(),
            last_error: None,
            held: None,
        }
    }

    /// The same lines, which nobody sees before [`Lines::tell`].
    #[must_use]
    pub fn held(self) -> Self {
        Self { held: Some(Vec::new()), ..self }
    }

    /// Has them seen, and those that follow at once.
    pub fn tell(&mut self) {
        for (at, level, message) in self.held.take().into_iter().flatten() {
            self.say(at, level, &message);
        }
    }

    /// The same lines, also for who listens.
    #[must_use]
    pub fn heard_by(self, heard: Arc<Recorder<String>>) -> Self {
        Self { heard: Some(heard), ..self }
    }

    /// Writes a line, or counts it as dropped.
    pub fn write(&mut self, level: Level, message: &str) {
        let Some(left) = self.left.checked_sub(1) else {
            self.dropped += 1;
            return;
        };
        self.left = left;
        let message = cut(message, self.length);
        if level == Level::Error {
            self.last_error = Some(cut(message, LAST_WORDS).to_owned());
        }
        match &mut self.held {
            Some(held) => held.push((Utc::now(), level, message.to_owned())),
            None => self.say(Utc::now(), level, message),
        }
    }

    fn say(&self, at: DateTime<Utc>, level: Level, message: &str) {
        if let Some(heard) = &self.heard {
            heard.note(|| format!("{level}: {message}"));
        }
        trace::say(level.as_str(), message);
        if let Some(sink) = self.sink.as_ref().filter(|sink| sink.takes(level)) {
            sink.take(Said {
                plugin: self.plugin.to_string(),
                at,
                level,
                version: self.version.to_string(),
                positions: self.positions.clone(),
                message: message.to_owned(),
            });
        }
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "plugin",
                    tracing::Level::$level,
                    plugin = %self.plugin,
                    version = %self.version,
                    positions = %self.positions,
                    "{message}"
                )
            };
        }
        match level {
            Level::Trace => event!(TRACE),
            Level::Debug => event!(DEBUG),
            Level::Info => event!(INFO),
            Level::Warn => event!(WARN),
            Level::Error => event!(ERROR),
        }
    }

    /// Takes what was printed, and writes the lines that it ends.
    pub fn print(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Err {
            self.stderr.extend_from_slice(bytes);
            let excess = self.stderr.len().saturating_sub(LAST_WORDS);
            self.stderr.drain(..excess);
        }
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            let unfinished = &mut self.unfinished[stream as usize];
            let room = self.length.saturating_sub(unfinished.len());
            unfinished.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line(stream);
            }
        }
    }

    fn end_line(&mut self, stream: Stream) {
        let line = std::mem::take(&mut self.unfinished[stream as usize]);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if !line.is_empty() {
            self.write(Level::Debug, line);
        }
    }

    /// Writes what is left when the batch has ended.
    pub fn finish(&mut self) {
        self.end_line(Stream::Out);
        self.end_line(Stream::Err);
        if self.dropped > 0 {
            tracing::warn!(
                target: "plugin",
                plugin = %self.plugin,
                version = %self.version,
                positions = %self.positions,
                dropped = self.dropped,
                "the plugin logged more lines than a batch may"
            );
        }
    }

    /// What the plugin said last before it gave up, if it did: the end of stderr, or else its last
    /// error in the log.
    pub fn last_words(&self) -> Option<String> {
        let stderr = String::from_utf8_lossy(&self.stderr);
        let words = stderr
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty() && !line.starts_with("note: run with `RUST_BACKTRACE"))
            .collect::<Vec<_>>()
            .join(" ");
        if words.is_empty() { self.last_error.clone() } else { Some(words) }
    }
}

/// The longest beginning of a text that has at most so many bytes.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(log_lines: u32, log_line_bytes: usize) -> Lines {
        let limits = Limits { log_lines, log_line_bytes, ..Limits::default() };
        Lines::new("p".into(), Version::of(b""), "1".to_owned(), &limits, None)
    }

    #[test]
    fn lines_above_the_limit_are_counted_and_dropped() {
        let mut lines = lines(2, 100);
        for _ in 0..5 {
            lines.write(Level::Info, "hello");
        }
        assert_eq!(lines.dropped, 3);
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_a_line() {
        let mut lines = lines(10, 100);
        for _ in 0..1000 {
            lines.print(Stream::Out, &[b'x'; 1000]);
        }
        assert_eq!(lines.unfinished[0].len(), 100);
        assert_eq!(lines.left, 10);
    }

    #[test]
    fn the_last_words_of_a_panic_are_kept() {
        let mut lines = lines(0, 100);
        lines.print(Stream::Err, &[b'x'; 100_000]);
        lines.print(Stream::Err, b"\npanicked at src/lib.rs:1:1:\nno ");
        lines.print(Stream::Err, b"account\nnote: run with `RUST_BACKTRACE=1`\n");
        let words = lines.last_words().unwrap();
        assert!(words.ends_with("panicked at src/lib.rs:1:1: no account"), "{words}");
        assert!(words.len() <= LAST_WORDS + 100);
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
