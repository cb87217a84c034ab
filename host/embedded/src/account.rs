//! The user as whom the server runs: ours, or an unprivileged one when we are root.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use tokio::process::Command;

use crate::EmbeddedError;

/// Who runs the server's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The user of this process.
    Own,
    /// Another one, as this process is root's.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    pub(crate) fn choose() -> Result<Self, EmbeddedError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| parse(&passwd, name))
            .ok_or(EmbeddedError::NoAccount)
    }

    /// A command that runs as this user, in a directory that it may enter.
    pub(crate) fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).stdin(std::process::Stdio::null());
        // The server's programs take settings from these, which are meant for other servers.
        for name in
            ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGOPTIONS"]
        {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C");
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid).env("HOME", dir);
        }
        command
    }

    /// Gives a file or directory to this user, with the given mode.
    pub(crate) fn give(&self, path: &Path, mode: u32) -> Result<(), EmbeddedError> {
        if let Self::Other { uid, gid, .. } = self {
            chown(path, Some(*uid), Some(*gid))
                .map_err(EmbeddedError::file("cannot change the owner of", path))?;
        }
        std::fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(EmbeddedError::file("cannot change the mode of", path))
    }

    /// Checks that this user can get to `dir` through all of the directories above it.
    pub(crate) fn can_reach(&self, dir: &Path) -> Result<(), EmbeddedError> {
        let Self::Other { name, uid, gid } = self else { return Ok(()) };
        for above in dir.ancestors().skip(1) {
            let meta =
                std::fs::metadata(above).map_err(EmbeddedError::file("cannot read", above))?;
            let bit = match (meta.uid() == *uid, meta.gid() == *gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if meta.mode() & bit == 0 {
                return Err(EmbeddedError::NotTraversable {
                    dir: above.to_owned(),
                    user: name.clone(),
                });
            }
        }
        Ok(())
    }
}

fn parse(passwd: &str, wanted: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| *name == wanted)?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account::Other { name: name.to_owned(), uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "postgresql:x:7:8::/:/bin/sh\npostgres:x:101:104:a,b:/var:/bin/bash\n";
        let expected = Account::Other { name: "postgres".into(), uid: 101, gid: 104 };
        assert_eq!(parse(passwd, "postgres"), Some(expected));
        assert_eq!(parse(passwd, "nobody"), None);
    }

    #[test]
    fn a_closed_directory_above_is_named() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("inner");
        let other = Account::Other { name: "someone".into(), uid: 4_000_000, gid: 4_000_000 };
        std::fs::set_permissions(top.path(), Permissions::from_mode(0o700)).unwrap();
        let error = other.can_reach(&dir).unwrap_err().to_string();
        assert!(error.contains(&top.path().display().to_string()), "{error}");
        assert!(error.contains("someone"), "{error}");
    }
}
