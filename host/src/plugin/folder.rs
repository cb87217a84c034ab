//! Looking at the files of the plugin folder.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a file that is read at all; what a plugin may have is decided when it is loaded.
const FILE_BYTES: usize = 256 * 1024 * 1024;

/// Tells one state of a file from another, as well as its metadata can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    len: u64,
    inode: u64,
}

/// The plugins of a folder as they are now.
pub fn list(dir: &Path) -> std::io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut there = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm")
            && let Some(stamp) = stamp(&path)
        {
            there.insert(path, stamp);
        }
    }
    Ok(there)
}

/// `None` for what is no file: a folder, a pipe, a link to nowhere.
fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some(Stamp {
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
        len: meta.len(),
        inode: meta.ino(),
    })
}

/// All of a file, if it is still a regular one.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let open = || {
        // Without waiting: what was a file may have become a pipe in the meantime.
        let flags =
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
        let file = std::fs::File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is no longer a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = open().map_err(|error| format!("cannot read the plugin: {error}"))?;
    if bytes.len() > FILE_BYTES {
        return Err(format!(
            "the plugin has more than the {FILE_BYTES} bytes that are read at all"
        ));
    }
    Ok(bytes)
}
