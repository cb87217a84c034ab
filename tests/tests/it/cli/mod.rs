//! The program itself, as a process: what it prints, and with which exit code it ends.

mod answers;
mod append;
mod compiling;
mod dlq;
mod embedded;
mod http;
mod import;
mod interrupted;
mod packaged;
mod querying;
mod reading;
mod schemas;
mod settings;
mod snapshots;
mod trouble;

use std::process::Stdio;
use std::time::Duration;

use eventfabric_tests::{TestDb, eventfabric_bin, target_dir};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What a command has said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Asserts that the command has done what it was told.
    pub fn well(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// Asserts that it failed with this code and said these things.
    pub fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }

    /// One JSON value a line.
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The program without the settings of whoever runs the tests.
pub fn program(args: &[&str]) -> Command {
    let mut command = Command::new(eventfabric_bin());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EVENTFABRIC_") {
            command.env_remove(name);
        }
    }
    command
        .args(args)
        // Not where an eventfabric.toml could be.
        .current_dir(std::env::temp_dir())
        .env("XDG_CACHE_HOME", target_dir().join("it-cache"))
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command on a database, to its end.
pub async fn run(db: &TestDb, args: &[&str]) -> Said {
    run_at(&db.url(), args).await
}

/// The same with the database's URL.
pub async fn run_at(url: &str, args: &[&str]) -> Said {
    finish(program(args).env("EVENTFABRIC_DATABASE_URL", url), b"").await
}

/// Runs a command to its end, with something on its standard input.
pub async fn finish(command: &mut Command, input: &[u8]) -> Said {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = async {
        // A program that has seen enough does not read to the end.
        let _ = stdin.write_all(input).await;
        drop(stdin);
        child.wait_with_output().await.unwrap()
    };
    let output = tokio::time::timeout(Duration::from_secs(90), output).await.expect("it ends");
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
