//! Compiled components on disk, each a file that is named by what it was made of and who made it. It ends
//! with the CRC-32 of the code: what a disk has damaged is not run. Against those who may write there it is
//! no help, nor meant to be.

use std::fs::File;
use std::hash::{Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use wasmtime::Engine;

use super::worker::program;
use crate::plugin::version::Version;

/// Bytes of compiled plugins in the cache: what was not used for the longest time goes when there is more.
const BYTES: u64 = 1 << 30;

/// Files of this kind are the cache's; others in the folder are left alone.
const EXTENSION: &str = "cwasm";

/// Bytes of the sum at the end of a file.
const SUM: u64 = 4;

/// Bytes of a file that are looked at together.
const PART: usize = 1 << 17;

#[derive(Clone)]
pub struct Cache {
    dir: Arc<Path>,
    /// Which build compiled it, for which engine and processor.
    build: Arc<str>,
}

impl Cache {
    /// Native code is read from there: nobody else may write, or even look.
    pub fn open(dir: &Path, engine: &Engine) -> anyhow::Result<Self> {
        let open = || -> anyhow::Result<Self> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            // Fails where the folder is somebody else's.
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
            Ok(Self { dir: dir.canonicalize()?.into(), build: build(engine)?.into() })
        };
        open().with_context(|| format!("the cache of compiled plugins in {}", dir.display()))
    }

    fn path(&self, version: Version) -> PathBuf {
        self.dir.join(format!("{}-{}.{EXTENSION}", version.full(), self.build))
    }

    /// The file with the code of a version, if it is there and whole. It never changes: another one may take
    /// its place.
    pub fn get(&self, version: Version) -> Option<PathBuf> {
        let path = self.path(version);
        let file = File::open(&path).ok()?;
        if !is_whole(&file).unwrap_or(false) {
            tracing::warn!(file = %path.display(), "a compiled plugin is damaged, and is made anew");
            return None;
        }
        // When it was used last; read-only folders are of use, too.
        let _ = file.set_modified(SystemTime::now());
        Some(path)
    }

    /// Keeps the code of a version. A full disk costs a warning, and time at the next start.
    pub fn put(&self, version: Version, code: &[u8]) {
        if let Err(error) = self.write(version, code).and_then(|()| self.tidy()) {
            tracing::warn!(dir = %self.dir.display(), %error, "a compiled plugin cannot be kept");
        }
    }

    /// The name comes last, after the bytes are on disk: a file under its name is whole, also
    /// after the machine went down.
    fn write(&self, version: Version, code: &[u8]) -> std::io::Result<()> {
        let path = self.path(version);
        let new = self.dir.join(format!("{}.new", uuid::Uuid::new_v4()));
        let written = (std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600))
            .open(&new)
            .and_then(|mut file| {
                file.write_all(code)?;
                file.write_all(&crc32fast::hash(code).to_le_bytes())?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&new, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written
    }

    fn tidy(&self) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            // Another host may have removed it.
            let Ok(meta) = path.metadata() else { continue };
            if path
                .extension()
                .is_some_and(|extension| extension == EXTENSION || extension == "new")
            {
                files.push((meta.modified()?, meta.len(), path));
            }
        }
        files.sort_unstable_by(|one, other| other.cmp(one));
        let mut sum = 0;
        for (_, bytes, path) in files {
            sum += bytes;
            if sum > BYTES
                && let Err(error) = std::fs::remove_file(path)
                // Another host was quicker.
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The code in a file of the cache.
pub fn code(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut code = std::fs::read(file)?;
    code.truncate(code.len().saturating_sub(SUM as usize));
    Ok(code)
}

/// Whether a file ends with the sum of what comes before.
fn is_whole(file: &File) -> std::io::Result<bool> {
    let Some(code) = file.metadata()?.len().checked_sub(SUM) else { return Ok(false) };
    let mut code = BufReader::with_capacity(PART, file).take(code);
    let mut sum = crc32fast::Hasher::new();
    loop {
        let part = code.fill_buf()?;
        if part.is_empty() {
            break;
        }
        sum.update(part);
        let read = part.len();
        code.consume(read);
    }
    let mut kept = Vec::new();
    code.into_inner().read_to_end(&mut kept)?;
    Ok(kept == sum.finalize().to_le_bytes())
}

/// Two builds never read each other's code, whatever their versions say: the file of the program
/// tells them apart.
fn build(engine: &Engine) -> anyhow::Result<String> {
    let program = program()?.metadata()?;
    let mut hash = std::hash::DefaultHasher::new();
    (program.len(), program.mtime(), program.mtime_nsec()).hash(&mut hash);
    env!("CARGO_PKG_VERSION").hash(&mut hash);
    engine.precompile_compatibility_hash().hash(&mut hash);
    Ok(format!("{:016x}", hash.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_or_cut_off_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), &Engine::default()).unwrap();
        let version = Version::of(b"a component");
        let code = || Some(super::code(&cache.get(version)?).unwrap());
        assert_eq!(cache.get(version), None);
        cache.put(version, b"its code");
        assert_eq!(code().as_deref(), Some(&b"its code"[..]));
        let path = cache.path(version);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(cache.get(version), None, "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(cache.get(version), None, "{at} bytes");
        }
        cache.put(version, b"its code");
        assert_eq!(code().as_deref(), Some(&b"its code"[..]));
    }
}
