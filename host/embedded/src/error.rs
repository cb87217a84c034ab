use std::path::{Path, PathBuf};

/// Why there is no embedded server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No server program on this machine, and none could be downloaded.
    #[error(
        "no PostgreSQL server of version {oldest} or newer was found in {}, and none could be \
         downloaded: {reason}; install PostgreSQL (Debian: apt-get install postgresql), or set \
         EVENTFABRIC_POSTGRES_BIN to the directory that holds `postgres` and `initdb`",
        .searched.join(", ")
    )]
    NoServer {
        /// The oldest version that will do.
        oldest: u32,
        /// Where it was looked for.
        searched: Vec<String>,
        /// Why the download failed.
        reason: String,
    },
    /// The data belong to another major version than the servers of this machine.
    #[error(
        "the data in {} were written by PostgreSQL {data}, and this machine has {}; install \
         PostgreSQL {data}, or name another directory with --embedded=DIR", .dir.display(), .found
    )]
    OtherVersion {
        /// The directory.
        dir: PathBuf,
        /// The major version of the data.
        data: u32,
        /// The versions found.
        found: String,
    },
    /// PostgreSQL refuses to run as root, and the user that it would run as can't get in.
    #[error(
        "{} cannot be entered by the user {user}, as whom the server runs because PostgreSQL \
         refuses to run as root; name another directory with --embedded=DIR (/var/lib/eventfabric, \
         for example), or allow it: chmod o+x {}", .dir.display(), .dir.display()
    )]
    NotTraversable {
        /// The directory in the way.
        dir: PathBuf,
        /// The user.
        user: String,
    },
    /// The directory holds what no private server has put there.
    #[error(
        "{} holds files that are not a private server's, and is left as it is; name a directory that \
         is empty or not there yet with --embedded=DIR", .0.display()
    )]
    NotOurs(PathBuf),
    /// Running as root, and there is nobody else to run the server.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has neither a user `postgres` nor a \
         user `nobody`: run eventfabric as an ordinary user"
    )]
    NoAccount,
    /// A file could not be read or written.
    #[error("{doing} {}: {source}", .path.display())]
    File {
        /// "cannot read", "cannot create"…
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Program {
        /// `initdb`, `pg_ctl`…
        program: String,
        /// The last lines that it, or the server's log, said.
        output: String,
    },
    /// The server runs but does not take the connection.
    #[error(
        "the server in {} does not accept the connection ({source}); the last lines of its log:\n{log}",
        .dir.display()
    )]
    Connect {
        /// The directory.
        dir: PathBuf,
        /// The error.
        source: sqlx::Error,
        /// The last lines of the server's log.
        log: String,
    },
}

impl EmbeddedError {
    /// For `map_err`: what was done to which file.
    pub(crate) fn file(
        doing: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}
