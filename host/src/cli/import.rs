//! `eventfabric import`

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_compression::tokio::bufread::GzipDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use uuid::Uuid;

use super::args::{self, OnError};
use super::connect::Context;
use super::counted::Count;
use super::home::Homes;
use super::{exit, line, output};
use crate::backoff::Backoff;
use crate::db::is_connection_lost;
use crate::projection::Mode;
use crate::store::{Append, EventStore, StoreError};

/// A batch is appended early when its lines have so many bytes.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Without a terminal, progress is logged this often.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// How long an import waits for a database that went away.
const PATIENCE: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

#[derive(Clone, Copy, Default, serde::Serialize)]
struct Summary {
    imported: u64,
    already_there: u64,
    left_out: u64,
}

pub(super) async fn run(context: &Context, command: args::Import) -> anyhow::Result<()> {
    let source = command.source.clone().unwrap_or_else(|| source_name(&command.file));
    let count = Count::default();
    let (reader, size) = open(&command.file, &count).await?;
    let host = context.host_of(&command.tenant, Some(Mode::Inline)).await?;
    let mut import = Import {
        store: host.store(),
        progress: Progress::new(size, count),
        batch: Vec::new(),
        bytes: 0,
        on_error: command.on_error,
        ids: HashSet::new(),
        summary: Summary::default(),
        fresh: false,
        homes: Homes::new(context, &command.tenant).await?,
    };
    let start = Instant::now();
    let read = import.read(reader, &source, &command, &context.settings.topics).await;
    // What stands before a line that can't be used is imported all the same.
    let written = import.flush().await;
    import.progress.finish();
    let summary = import.summary;
    host.store().wake().hint_now().await;
    if command.json {
        output::value(&summary)?;
    } else {
        let took = start.elapsed();
        output::line(&format!(
            "imported {} events in {took:.1?} ({:.0} a second), {} were there already, {} lines \
             left out",
            summary.imported,
            summary.imported as f64 / took.as_secs_f64().max(0.001),
            summary.already_there,
            summary.left_out
        ))?;
    }
    written?;
    read?;
    if summary.left_out > 0 {
        return Err(exit::bad_input(format!(
            "{} lines could not be used and were left out (see above); all others are imported",
            summary.left_out
        )));
    }
    Ok(())
}

struct Import<'a> {
    store: &'a EventStore,
    progress: Progress,
    /// With the numbers of their lines.
    batch: Vec<(u64, Append)>,
    /// Of the lines in the batch.
    bytes: usize,
    on_error: OnError,
    /// The ids of the batch.
    ids: HashSet<Uuid>,
    summary: Summary,
    /// A batch was met of which nothing was there: from here on nothing is looked up before it is
    /// written.
    fresh: bool,
    homes: Homes,
}

impl Import<'_> {
    async fn read(
        &mut self,
        mut reader: Box<dyn AsyncBufRead + Unpin + Send>,
        source: &str,
        command: &args::Import,
        topics: &std::collections::BTreeMap<String, String>,
    ) -> anyhow::Result<()> {
        let mut number = 0;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            number += 1;
            let limit = line::MAX_BYTES as u64 + 1;
            let n =
                (&mut reader).take(limit).read_until(b'\n', &mut bytes).await.map_err(|error| {
                    exit::bad_input(format!(
                        "line {number}: the file cannot be read further ({error}); what is before \
                         it is imported"
                    ))
                })?;
            if n == 0 {
                return Ok(());
            }
            self.progress.read();
            if bytes.len() as u64 == limit && !bytes.ends_with(b"\n") {
                let long = format!("it is longer than {} MiB", line::MAX_BYTES / 1024 / 1024);
                self.cannot_use(number, &long)?;
                pass_over(&mut reader).await.map_err(|error| {
                    exit::bad_input(format!(
                        "line {number}: the file cannot be read further ({error})"
                    ))
                })?;
                continue;
            }
            let parsed = match std::str::from_utf8(&bytes) {
                Ok(text) if text.trim().is_empty() => continue,
                Ok(text) => line::parse(text.trim(), source, number, &command.tenant, topics),
                Err(error) => Err(error.to_string()),
            };
            let parsed = match parsed {
                Ok(append) => match self.homes.refuse(&append.stream.tenant).await? {
                    Some(why) => Err(why),
                    None => Ok(append),
                },
                refused => refused,
            };
            match parsed {
                Ok(append) => {
                    if let Some(id) = append.events[0].id
                        && !self.ids.insert(id)
                    {
                        // Twice in the file: the first one must be there before it is looked up.
                        self.flush().await?;
                        self.fresh = false;
                        self.ids.insert(id);
                    }
                    self.batch.push((number, append));
                }
                Err(why) => self.cannot_use(number, &why)?,
            }
            self.bytes += bytes.len();
            if self.batch.len() >= command.batch as usize || self.bytes >= BATCH_BYTES {
                self.flush().await?;
            }
        }
    }

    /// Leaves a line out, or stops at it.
    fn cannot_use(&mut self, number: u64, why: &str) -> anyhow::Result<()> {
        if self.on_error == OnError::Skip {
            self.progress.warn(&format!("line {number} left out: {why}"));
            self.summary.left_out += 1;
            return Ok(());
        }
        Err(exit::bad_input(format!(
            "line {number}: {why}. What is before it is imported, nothing after it; mend the line \
             where it stands and import again (lines that move are new ones, unless they have an \
             `event_id`), or leave such lines out with --on-error skip"
        )))
    }

    /// Appends what has been read, all or none.
    async fn flush(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        self.ids.clear();
        let appends = batch.iter().map(|(_, append)| append.clone()).collect();
        let counted = self.summary;
        match self.append_patiently(appends).await {
            // Those that are there already will be counted again.
            Err(error) if error.is_bad_data() => self.summary = counted,
            done => return done.context("a batch could not be appended"),
        }
        // The database can't store one of them, and does not say which: one by one, then.
        for (number, append) in batch {
            match self.append_patiently(vec![append]).await {
                Err(error) if error.is_bad_data() => {
                    self.cannot_use(number, &error.to_string())?;
                }
                done => done.with_context(|| format!("line {number} could not be appended"))?,
            }
        }
        Ok(())
    }

    /// Appends a batch, all or none. An interrupted one is tried again: its events have their ids,
    /// so it can't be appended twice.
    async fn append_patiently(&mut self, mut batch: Vec<Append>) -> Result<(), StoreError> {
        let start = Instant::now();
        let mut attempts = 0;
        while !batch.is_empty() {
            match self.append(&mut batch).await {
                Ok(()) => return Ok(()),
                Err(error) if can_pass(&error) && start.elapsed() < PATIENCE => {
                    attempts += 1;
                    // Some of the batch may be there by now.
                    self.fresh = false;
                    let delay = BACKOFF.delay(attempts);
                    self.progress.warn(&format!("{error}; trying again"));
                    tokio::time::sleep(delay).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn append(&mut self, batch: &mut Vec<Append>) -> Result<(), StoreError> {
        if !self.fresh {
            let ids: Vec<_> = batch.iter().filter_map(|append| append.events[0].id).collect();
            let there: HashSet<_> = self.store.known_ids(&ids).await?.into_iter().collect();
            self.fresh = there.is_empty();
            batch.retain(|append| append.events[0].id.is_none_or(|id| !there.contains(&id)));
            self.summary.already_there += there.len() as u64;
            self.progress.done(there.len() as u64);
            if batch.is_empty() {
                return Ok(());
            }
        }
        let n = batch.len() as u64;
        match self.store.append_all(batch.clone()).await {
            Ok(appended) if appended.repeated => self.summary.already_there += n,
            Ok(_) => self.summary.imported += n,
            Err(StoreError::DuplicateEvent { .. } | StoreError::EventIdTaken { .. })
                if self.fresh =>
            {
                // Part of it came by another way meanwhile.
                self.fresh = false;
                return Box::pin(self.append(batch)).await;
            }
            Err(error) => return Err(error),
        }
        self.progress.done(n);
        Ok(())
    }
}

/// Reads on to the end of the line, and keeps nothing of it.
async fn pass_over(reader: &mut (impl AsyncBufRead + Unpin + ?Sized)) -> std::io::Result<()> {
    loop {
        let bytes = reader.fill_buf().await?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (done, n) = (end.is_some() || bytes.is_empty(), end.map_or(bytes.len(), |at| at + 1));
        reader.consume(n);
        if done {
            return Ok(());
        }
    }
}

/// Whether the same batch can succeed later.
fn can_pass(error: &StoreError) -> bool {
    match error {
        StoreError::Database(error) => {
            is_connection_lost(error)
                || error.as_database_error().and_then(|db| db.code()).is_some_and(|code| {
                    matches!(code.as_ref(), "40001" | "40P01" | "55P03" | "57014")
                })
        }
        StoreError::Inline(failure) => failure.retryable,
        StoreError::InlineUnavailable(_) => true,
        StoreError::AppendTimedOut { .. } | StoreError::AppendUnanswered { .. } => true,
        _ => false,
    }
}

/// The name of a file without its folders and without `.gz`.
pub(super) fn source_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}

/// Opens the file or stdin; what begins like gzip is unpacked.
pub(super) async fn open(
    file: &Path,
    count: &Count,
) -> anyhow::Result<(Box<dyn AsyncBufRead + Unpin + Send>, Option<u64>)> {
    let (mut reader, size): (Box<dyn AsyncBufRead + Unpin + Send>, _) = if file == Path::new("-") {
        (Box::new(BufReader::new(count.of(tokio::io::stdin()))), None)
    } else {
        let opened = tokio::fs::File::open(file).await;
        let opened = opened.map_err(|error| {
            exit::bad_input(format!("{} cannot be read: {error}", file.display()))
        })?;
        let meta = opened.metadata().await?;
        if meta.is_dir() {
            return Err(exit::bad_input(format!("{} is a folder", file.display())));
        }
        let reader = BufReader::with_capacity(1 << 18, count.of(opened));
        // A pipe has no length.
        (Box::new(reader), meta.is_file().then_some(meta.len()))
    };
    let head = reader.fill_buf().await.with_context(|| format!("{}", file.display()))?;
    if head.starts_with(&[0x1f, 0x8b]) {
        let mut decoder = GzipDecoder::new(reader);
        decoder.multiple_members(true);
        return Ok((Box::new(BufReader::with_capacity(1 << 18, decoder)), size));
    }
    Ok((reader, size))
}

/// A bar on a terminal, a log line now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    /// Of the file as it lies on the disk.
    read: Count,
    done: u64,
    start: Instant,
    logged: Instant,
}

impl Progress {
    fn new(size: Option<u64>, read: Count) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match size {
                Some(size) => (
                    ProgressBar::new(size),
                    "{bar:32} {percent:>3}% {bytes}/{total_bytes}  {msg}  {eta} left",
                ),
                None => (ProgressBar::new_spinner(), "{spinner} {bytes} read  {msg}  {elapsed}"),
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let now = Instant::now();
        Self { bar, read, done: 0, start: now, logged: now }
    }

    fn read(&self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.read.get());
        }
    }

    fn done(&mut self, events: u64) {
        self.done += events;
        let rate = self.done as f64 / self.start.elapsed().as_secs_f64().max(0.001);
        match &self.bar {
            Some(bar) => bar.set_message(format!("{} events, {rate:.0}/s", self.done)),
            None if self.logged.elapsed() >= LOG_EVERY => {
                self.logged = Instant::now();
                tracing::info!(events = self.done, rate = rate as u64, "importing");
            }
            None => {}
        }
    }

    fn warn(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("warning: {message}")),
            None => tracing::warn!("{message}"),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
