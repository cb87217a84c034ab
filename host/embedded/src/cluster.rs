//! The files of one cluster, and the server's programs that work on them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::EmbeddedError;
use crate::account::Account;
use crate::binaries::Binaries;

/// A log that has grown past this is put aside (as `log.old`) when the server starts.
const LOG_BYTES: u64 = 8 << 20;

/// Lines of the server's log that an error shows.
const LOG_LINES: usize = 12;
/// How far back a log is read for them.
const LOG_TAIL_BYTES: u64 = 64 * 1024;

/// How long the server may take to start, recovery after a crash included, in seconds.
const START_SECONDS: &str = "300";

/// How long it may take to stop, in seconds.
const STOP_SECONDS: &str = "120";

/// The directory of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    pub(crate) account: Account,
}

impl Cluster {
    /// Makes the directory where it is missing. It gets an owner and a mode of its own, so one that
    /// somebody keeps other things in is refused.
    pub(crate) fn open(dir: &Path) -> Result<Self, EmbeddedError> {
        std::fs::create_dir_all(dir).map_err(EmbeddedError::file("cannot create", dir))?;
        let dir = dir.canonicalize().map_err(EmbeddedError::file("cannot read", dir))?;
        if !is_ours(&dir).map_err(EmbeddedError::file("cannot read", &dir))? {
            return Err(EmbeddedError::NotOurs(dir));
        }
        let account = Account::choose()?;
        account.can_reach(&dir)?;
        account.give(&dir, 0o700)?;
        Ok(Self { dir, account })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Data that are being made, or removed.
    fn unfinished(&self) -> PathBuf {
        self.dir.join("data.unfinished")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Where server programs are downloaded to.
    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.parent().unwrap_or(&self.dir).join("postgresql")
    }

    /// A file for locks, never removed.
    pub(crate) fn lock_file(&self, name: &str) -> Result<File, EmbeddedError> {
        let path = self.dir.join(name);
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        options.open(&path).map_err(EmbeddedError::file("cannot open", &path))
    }

    /// The major version that wrote the data, where there are any.
    pub(crate) fn data_version(&self) -> Option<u32> {
        std::fs::read_to_string(self.data().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// The port of the server that wrote `postmaster.pid`, which may be dead by now.
    pub(crate) fn running_port(&self) -> Option<u16> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().nth(3)?.trim().parse().ok()
    }

    /// The password of both roles; made at the first call.
    pub(crate) fn password(&self) -> Result<String, EmbeddedError> {
        let path = self.dir.join("password");
        if let Ok(password) = std::fs::read_to_string(&path)
            && !password.trim().is_empty()
        {
            return Ok(password.trim().to_owned());
        }
        let password = format!("{:032x}", rand::random::<u128>());
        self.write(&path, &format!("{password}\n"))?;
        Ok(password)
    }

    /// Writes a file that only the server's user and root can read.
    fn write(&self, path: &Path, text: &str) -> Result<(), EmbeddedError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = File::options();
        options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = options.open(path).map_err(EmbeddedError::file("cannot create", path))?;
        file.write_all(text.as_bytes()).map_err(EmbeddedError::file("cannot write", path))?;
        self.account.give(path, 0o600)
    }

    /// `initdb`, in a directory that gets its name when it is complete.
    pub(crate) async fn init(&self, binaries: &Binaries, user: &str) -> Result<(), EmbeddedError> {
        self.password()?;
        let unfinished = self.unfinished();
        remove(&unfinished)?;
        let mut command = self.account.command(&binaries.program("initdb"), &self.dir);
        command.arg("--pgdata").arg(&unfinished).arg("--username").arg(user);
        command.arg("--pwfile").arg(self.dir.join("password"));
        command.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]);
        run("initdb", &mut command).await?;

        let conf = unfinished.join("postgresql.conf");
        let mut file = File::options()
            .append(true)
            .open(&conf)
            .map_err(EmbeddedError::file("cannot open", &conf))?;
        file.write_all(b"\ninclude_if_exists = 'eventfabric.conf'\n")
            .map_err(EmbeddedError::file("cannot write", &conf))?;
        let data = self.data();
        std::fs::rename(&unfinished, &data).map_err(EmbeddedError::file("cannot create", &data))
    }

    /// Removes the data of a server that does not run.
    pub(crate) fn remove_data(&self) -> Result<(), EmbeddedError> {
        // Half of them are never taken for a cluster.
        let (data, unfinished) = (self.data(), self.unfinished());
        remove(&unfinished)?;
        std::fs::rename(&data, &unfinished).map_err(EmbeddedError::file("cannot rename", &data))?;
        remove(&unfinished)
    }

    /// Starts the server on this port and waits until it takes connections.
    pub(crate) async fn start(
        &self,
        binaries: &Binaries,
        port: u16,
        settings: &[(&str, &str)],
    ) -> Result<(), EmbeddedError> {
        let mut conf = String::from("# Written at each start of the server.\n");
        let port_text = port.to_string();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", port_text.as_str()),
            ("unix_socket_directories", ""),
            ("password_encryption", "scram-sha-256"),
        ];
        for (name, value) in ours.iter().chain(settings) {
            conf.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        self.write(&self.data().join("eventfabric.conf"), &conf)?;
        self.write(&self.dir.join("port"), &format!("{port}\n"))?;

        let log = self.log();
        if std::fs::metadata(&log).is_ok_and(|meta| meta.len() > LOG_BYTES) {
            let old = self.dir.join("log.old");
            std::fs::rename(&log, &old).map_err(EmbeddedError::file("cannot rename", &log))?;
        }
        let mut options = File::options();
        options.create(true).append(true);
        options.open(&log).map_err(EmbeddedError::file("cannot open", &log))?;
        self.account.give(&log, 0o600)?;
        let before = std::fs::metadata(&log).map_or(0, |meta| meta.len());

        let mut command = self.pg_ctl(binaries, "start", START_SECONDS);
        command.arg("--log").arg(&log);
        run("pg_ctl start", &mut command).await.map_err(|error| match error {
            EmbeddedError::Program { program, output } => EmbeddedError::Program {
                program,
                output: format!("{output}\n{}:\n{}", log.display(), self.log_since(before)),
            },
            other => other,
        })
    }

    /// Stops the server: open transactions are rolled back.
    pub(crate) async fn stop(&self, binaries: &Binaries) -> Result<(), EmbeddedError> {
        run("pg_ctl stop", self.pg_ctl(binaries, "stop", STOP_SECONDS).arg("--mode=fast")).await
    }

    fn pg_ctl(&self, binaries: &Binaries, verb: &str, seconds: &str) -> Command {
        let mut command = self.account.command(&binaries.program("pg_ctl"), &self.dir);
        command.arg(verb).arg("--pgdata").arg(self.data());
        command.args(["--wait", "--timeout", seconds]);
        command
    }

    /// The port of the last start if it is free, so that URLs stay good; or any free one.
    pub(crate) fn free_port(&self, avoid: Option<u16>) -> Result<u16, EmbeddedError> {
        let last = std::fs::read_to_string(self.dir.join("port")).unwrap_or_default();
        let last = last.trim().parse().ok().filter(|port| Some(*port) != avoid);
        let listen = |port| std::net::TcpListener::bind(("127.0.0.1", port));
        last.map_or_else(|| listen(0), |port| listen(port).or_else(|_| listen(0)))
            .and_then(|listener| listener.local_addr())
            .map(|address| address.port())
            .map_err(EmbeddedError::file("cannot find a free port on", Path::new("127.0.0.1")))
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        self.log_since(0)
    }

    /// The last lines of those that were written after the first `before` bytes.
    fn log_since(&self, before: u64) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(before.max(length.saturating_sub(LOG_TAIL_BYTES))))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(last_lines(&String::from_utf8_lossy(&bytes)))
        };
        read().unwrap_or_default()
    }
}

/// Whether the directory is a private server's, or can become one: it is empty but for what a file
/// system keeps there.
fn is_ours(dir: &Path) -> std::io::Result<bool> {
    // The first file that is ever made, and what a server would lose that is refused here.
    let marks = ["start.lock", "data/PG_VERSION", "data.unfinished"];
    if marks.iter().any(|mark| dir.join(mark).exists()) {
        return Ok(true);
    }
    for entry in std::fs::read_dir(dir)? {
        // Another program may have made the first file since we looked.
        let name = entry?.file_name();
        if name != "lost+found" && name != "start.lock" {
            return Ok(dir.join("start.lock").exists());
        }
    }
    Ok(true)
}

/// Removes a directory where it is there.
fn remove(dir: &Path) -> Result<(), EmbeddedError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(EmbeddedError::file("cannot remove", dir)(error))
        }
        _ => Ok(()),
    }
}

async fn run(name: &str, command: &mut Command) -> Result<(), EmbeddedError> {
    let failed = |output| EmbeddedError::Program { program: name.to_owned(), output };
    let output = command.output().await.map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(failed(last_lines(&String::from_utf8_lossy(&text))))
}

/// Without the farewells of a killed server's connections: there may be hundreds of them, and they
/// would stand between the reader and the cause.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.ends_with("unexpected postmaster exit")).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farewells_of_a_killed_servers_connections_do_not_hide_the_cause() {
        let cause = "FATAL:  lock file \"postmaster.pid\" already exists";
        let farewell = "FATAL:  terminating connection due to unexpected postmaster exit\n";
        let log = format!("{cause}\n{}", farewell.repeat(100));
        assert_eq!(last_lines(&log), cause);
    }
}
