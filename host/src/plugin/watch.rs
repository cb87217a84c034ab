//! The folder of plugins: what is in it, and what changes.
//!
//! The system's notifications are the hint; a slow look at times and sizes is the truth, for a
//! network folder notifies nobody.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use notify::Watcher as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::folder::{Stamp, list, read};
use super::version::Version;

/// How often the folder is looked at without a hint.
const POLL: Duration = Duration::from_secs(2);

/// A file that has not changed for this long is read early: most are written in one go.
const EARLY: Duration = Duration::from_millis(20);

/// The least time between two looks, however many hints there are.
const PAUSE: Duration = Duration::from_millis(10);

/// Finds that wait for whoever loads them.
const QUEUE: usize = 16;

/// Contents that are known to be whole, at most.
const WHOLE: usize = 256;

/// When a changed file is read.
#[derive(Debug, Clone, Copy)]
pub struct Settle {
    /// After this long without another change.
    pub quiet: Duration,
    /// But at last this long after the first change.
    pub max: Duration,
}

impl Default for Settle {
    fn default() -> Self {
        Self { quiet: Duration::from_millis(150), max: Duration::from_secs(1) }
    }
}

/// A file with content that it did not have before.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// All of it.
    pub bytes: Arc<[u8]>,
    /// Its hash.
    pub sha: Version,
    /// When it had settled.
    pub settled_at: Instant,
}

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct FoundError {
    /// Where.
    pub path: PathBuf,
    /// Why, and what to do.
    pub reason: String,
}

/// What the watcher sends.
#[derive(Debug)]
pub enum Item {
    /// What a file holds that has changed and not settled yet: most likely what will be found, so
    /// that it can be compiled meanwhile. Nothing else may be made of it.
    Early(Found),
    /// A new plugin, or a new version of one.
    Found(Found),
    /// A file to be told of, which may be good again later.
    Unreadable(FoundError),
    /// Everything that was there at the start has been sent.
    Initial,
}

/// Watches a folder for `*.wasm`: first sends every file in the order of the names, then
/// [`Item::Initial`], then what is new or changed. A file is read once it has settled, and sent
/// when its content is other than the last one of that path. One still being written may be sent
/// half; it is sent again when it is whole. A content that has settled before, as where versions are
/// exchanged, is whole as soon as it is there, and is not waited for. Files that vanish are ignored.
///
/// Ends with `cancel`, or when the receiver is dropped.
pub fn watch(
    dir: PathBuf,
    settle: Settle,
    cancel: CancellationToken,
) -> anyhow::Result<mpsc::Receiver<Item>> {
    let dir = dir.canonicalize().with_context(|| format!("the plugin folder {}", dir.display()))?;
    // One hint is as good as many: what has changed is seen by looking.
    let (hint, hints) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |event| {
        if is_change(&event) {
            // Full: there is a hint already.
            let _ = hint.try_send(());
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(&dir, notify::RecursiveMode::NonRecursive)?;
        Ok(watcher)
    })
    .inspect_err(|error| {
        tracing::warn!(dir = %dir.display(), %error, "no notifications of changed plugins: \
                looking every two seconds instead");
    })
    .ok();
    let (sender, receiver) = mpsc::channel(QUEUE);
    let folder = Folder { dir, settle, files: BTreeMap::new(), whole: HashMap::new() };
    tokio::spawn(async move {
        // The watcher lives as long as the task: dropping it ends the notifications.
        let _watcher = watcher;
        tokio::select! {
            () = cancel.cancelled() => {}
            () = folder.run(sender, hints) => {}
        }
    });
    Ok(receiver)
}

struct Folder {
    dir: PathBuf,
    settle: Settle,
    files: BTreeMap<PathBuf, File>,
    /// Contents that have settled, and when they were met last.
    whole: HashMap<Version, Instant>,
}

/// What is known of one path.
struct File {
    seen: Stamp,
    /// First and last time that it was seen to change, until it is read.
    changing: Option<(Instant, Instant)>,
    /// It was read early since it has changed last.
    early: bool,
    sent: Option<Version>,
}

impl Folder {
    async fn run(mut self, sender: mpsc::Sender<Item>, mut hints: mpsc::Receiver<()>) {
        self.look().await;
        for path in self.files.keys().cloned().collect::<Vec<_>>() {
            if !self.send(&path, true, &sender).await {
                return;
            }
        }
        if sender.send(Item::Initial).await.is_err() {
            return;
        }
        let mut next_look = Instant::now() + POLL;
        loop {
            let dues = self.files.values().flat_map(|file| [self.due(file), early(file)]);
            let due = dues.flatten().min();
            let wake = due.map_or(next_look, |due| due.min(next_look));
            tokio::select! {
                () = sender.closed() => return,
                hint = hints.recv() => {
                    if hint.is_none() {
                        // No notifications: the slow look has to do.
                        tokio::time::sleep_until(wake.into()).await;
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            tokio::time::sleep(PAUSE).await;
            self.look().await;
            let now = Instant::now();
            next_look = now + POLL;
            let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
            let paths = |due: &dyn Fn(&File) -> bool| -> Vec<PathBuf> {
                self.files.iter().filter(|(_, f)| due(f)).map(|(path, _)| path.clone()).collect()
            };
            let settled = paths(&|file| is_due(self.due(file)));
            for path in paths(&|file| !is_due(self.due(file)) && is_due(early(file))) {
                if !self.send_early(&path, &sender).await {
                    return;
                }
            }
            for path in settled {
                if !self.send(&path, false, &sender).await {
                    return;
                }
            }
        }
    }

    fn due(&self, file: &File) -> Option<Instant> {
        file.changing.map(|(first, last)| (last + self.settle.quiet).min(first + self.settle.max))
    }

    /// Notes what has changed since the last look.
    async fn look(&mut self) {
        let dir = self.dir.clone();
        // On another thread: a network folder can keep one waiting.
        let there = match tokio::task::spawn_blocking(move || list(&dir)).await {
            Ok(Ok(there)) => there,
            Ok(Err(error)) => {
                tracing::warn!(dir = %self.dir.display(), %error, "cannot look for plugins");
                return;
            }
            Err(_) => return,
        };
        let now = Instant::now();
        // One that vanished is forgotten: when it comes back, it is sent again.
        self.files.retain(|path, _| there.contains_key(path));
        for (path, stamp) in there {
            match self.files.get_mut(&path) {
                Some(file) if file.seen == stamp => {}
                Some(file) => {
                    file.seen = stamp;
                    let first = file.changing.map_or(now, |(first, _)| first);
                    file.changing = Some((first, now));
                    file.early = false;
                }
                None => {
                    let changing = Some((now, now));
                    let file = File { seen: stamp, changing, early: false, sent: None };
                    self.files.insert(path, file);
                }
            }
        }
    }

    /// Reads a file that may still change, and sends it as settled where its content is known to be whole.
    /// Otherwise nobody waits for it: without room it is left out. False: nobody listens.
    async fn send_early(&mut self, path: &Path, sender: &mpsc::Sender<Item>) -> bool {
        let read = read_apart(path).await;
        let now = Instant::now();
        let Some(file) = self.files.get_mut(path) else { return true };
        file.early = true;
        let Ok(Ok((sha, bytes))) = read else { return true };
        if file.sent == Some(sha) {
            return true;
        }
        let found = Found { path: path.to_owned(), bytes: bytes.into(), sha, settled_at: now };
        if !self.whole.contains_key(&sha) {
            let _ = sender.try_send(Item::Early(found));
            return true;
        }
        (file.changing, file.sent) = (None, Some(sha));
        self.note_whole(sha);
        sender.send(Item::Found(found)).await.is_ok()
    }

    /// Reads a file that has settled, or was there from the beginning, and sends it where it is new. False: nobody
    /// listens.
    async fn send(&mut self, path: &Path, initial: bool, sender: &mpsc::Sender<Item>) -> bool {
        let now = Instant::now();
        let read = read_apart(path).await;
        let due = self.files.get(path).and_then(|file| self.due(file));
        let quiet = self.settle.quiet;
        let Some(file) = self.files.get_mut(path) else { return true };
        // One that goes on changing is taken as it is in the end, and perhaps half.
        let changed = file.changing.map(|(_, last)| last);
        let is_quiet = initial || changed.is_some_and(|last| last + quiet <= now);
        file.changing = None;
        // Not when it was read: that counts as ours.
        let settled_at = due.map_or_else(Instant::now, |due| due.min(Instant::now()));
        let item = match read {
            Ok(Ok((sha, bytes))) => {
                if file.sent.replace(sha) == Some(sha) {
                    return true;
                }
                // Many a file begins empty.
                if is_quiet && !bytes.is_empty() {
                    self.note_whole(sha);
                }
                let path = path.to_owned();
                Item::Found(Found { path, bytes: bytes.into(), sha, settled_at })
            }
            Ok(Err(reason)) => {
                file.sent = None;
                Item::Unreadable(FoundError { path: path.to_owned(), reason })
            }
            Err(_) => return true,
        };
        sender.send(item).await.is_ok()
    }

    /// Remembers a content that has settled; of those that were met long ago some are forgotten.
    fn note_whole(&mut self, sha: Version) {
        self.whole.insert(sha, Instant::now());
        if self.whole.len() > WHOLE
            && let Some(oldest) =
                self.whole.iter().min_by_key(|(_, met)| **met).map(|(sha, _)| *sha)
        {
            self.whole.remove(&oldest);
        }
    }
}

/// All of a file and its hash, on a thread that may wait.
async fn read_apart(
    path: &Path,
) -> Result<Result<(Version, Vec<u8>), String>, tokio::task::JoinError> {
    let path = path.to_owned();
    let read = move || read(&path).map(|bytes| (Version::of(&bytes), bytes));
    tokio::task::spawn_blocking(read).await
}

/// When a changing file is to be read early, unless that was done.
fn early(file: &File) -> Option<Instant> {
    file.changing.filter(|_| !file.early).map(|(_, last)| last + EARLY)
}

/// Whether a notification means that a file may be another one. Our own reading is none.
fn is_change(event: &notify::Result<notify::Event>) -> bool {
    use notify::event::{AccessKind, AccessMode, EventKind};
    match event.as_ref().map(|event| event.kind) {
        Ok(EventKind::Access(kind)) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
