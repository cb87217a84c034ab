//! The first ten minutes: new, test, a mistake in the SQL, one in the types, a trap, and the mend.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use eventfabric_tests::{database, target_dir, workspace};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::cli::{finish, program, run};

/// A plugin as `plugin new` makes it, with the crates that this workspace was built with: nothing is downloaded.
struct Author {
    dir: tempfile::TempDir,
}

impl Author {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        finish(program(&["plugin", "new", "orders"]).current_dir(dir.path()), b"").await.well();
        let lock = workspace().join("Cargo.lock");
        std::fs::copy(lock, dir.path().join("orders/Cargo.lock")).unwrap();
        Self { dir }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("orders")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(args);
        self.at_home(&mut command);
        command
    }

    fn at_home(&self, command: &mut Command) {
        // Kept between runs, for the crates that it depends on.
        command
            .current_dir(self.folder())
            .env("CARGO_TARGET_DIR", target_dir().join("authors"))
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TERM_COLOR", "never");
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.folder().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "no {from} in {file}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }
}

/// `eventfabric dev`, and what it says.
struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    errors: tempfile::NamedTempFile,
}

impl Dev {
    fn start(author: &Author, url: &str, more: &[&str]) -> Self {
        let errors = tempfile::NamedTempFile::new().unwrap();
        let mut command = author.command(&["dev", "--database-url", url]);
        command.args(more);
        command.stderr(Stdio::from(errors.reopen().unwrap()));
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, errors }
    }

    /// What it says until it waits again.
    async fn round(&mut self) -> String {
        let mut said = String::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if line.starts_with("waiting for a change") {
                return said;
            }
            said.push_str(&line);
            said.push('\n');
        }
        panic!("it ended:\n{said}{}", self.errors());
    }

    /// Ends it as Ctrl-C does.
    async fn end(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &id]).status().await.unwrap().success());
        assert!(self.child.wait().await.unwrap().success(), "{}", self.errors());
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.errors.path()).unwrap()
    }
}

fn has(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no `{word}` in:\n{said}");
    }
}

async fn cargo_test(author: &Author, folder: &Path) {
    let mut command = Command::new("cargo");
    author.at_home(&mut command);
    let tested = command.arg("test").arg("--quiet").current_dir(folder).output().await.unwrap();
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success(), "{said}{}", String::from_utf8_lossy(&tested.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn an_author_makes_a_plugin_breaks_it_and_mends_it() {
    let (author, db) = (Author::new().await, database().await);
    let url = db.url();
    let built =
        finish(&mut author.command(&["plugin", "build", "--json"]), b"").await.well().json();
    assert_eq!(built["description"]["name"], "orders");
    assert!(built["bytes"].as_u64().unwrap() < 300_000, "{built}");
    assert!(built["file"].as_str().unwrap().ends_with("build/orders.wasm"), "{built}");
    let tested =
        finish(&mut author.command(&["plugin", "test", "--database-url", &url]), b"").await.well();
    has(
        &tested.out,
        &["ok    scenarios/balance.json", "ok    scenarios/no_account.json", "2 of 2"],
    );
    cargo_test(&author, &author.folder()).await;

    let mut dev = Dev::start(&author, &url, &[]);
    let said = dev.round().await;
    has(&said, &["ok    scenarios/balance.json", "after 4 of the 4 events", "accounts, 2 rows"]);
    has(&said, &["account  owner  cents\n", "1        Ada    750\n", "2        Grace  0\n"]);

    // A mistake in the SQL.
    author.change("src/lib.rs", "SET cents = cents + $2", "SET cent = cents + $2");
    let said = dev.round().await;
    has(
        &said,
        &["FAIL", "column \"cent\" of relation \"accounts\" does not exist (SQLSTATE 42703)"],
    );
    has(
        &said,
        &[
            "  | UPDATE accounts SET cent = cents + $2 WHERE account = $1\n",
            "                    ^\n",
        ],
    );

    // One in the types: the compiler's.
    author.change("src/lib.rs", "SET cent = cents + $2", "SET cents = cents + $2");
    author.change(
        "src/lib.rs",
        "params![event.aggregate_id, cents]",
        "params![event.aggregate, cents.len()]",
    );
    let said = dev.round().await;
    has(&said, &["error: cargo could not build"]);
    has(&dev.errors(), &["no method named `len` found for type `i64`"]);

    // A trap.
    author.change(
        "src/lib.rs",
        "params![event.aggregate, cents.len()]",
        "params![event.aggregate_id, i64::MAX / (cents - cents)]",
    );
    let said = dev.round().await;
    has(&said, &["fails as `trap`", "attempt to divide by zero"]);

    // A mistake in a migration.
    author.change(
        "src/lib.rs",
        "params![event.aggregate_id, i64::MAX / (cents - cents)]",
        "params![event.aggregate_id, cents]",
    );
    author.change("migrations/001_create_accounts.sql", "bigint NOT NULL", "bigin NOT NULL");
    let said = dev.round().await;
    has(
        &said,
        &["error: migration 1 (create accounts) of `orders`", "type \"bigin\" does not exist"],
    );

    // Mended; and another row is wanted.
    author.change("migrations/001_create_accounts.sql", "bigin NOT NULL", "bigint NOT NULL");
    author.change("scenarios/balance.json", "\"cents\": 750", "\"cents\": 751");
    let mut said = dev.round().await;
    if !said.contains("- 1 ") {
        // The two files were seen one after the other.
        said = dev.round().await;
    }
    has(
        &said,
        &["table accounts: the rows differ", "- 1        Ada    751\n", "+ 1        Ada    750\n"],
    );

    dev.end().await;

    // Other samples than those of a scenario.
    let week = author.dir.path().join("week.ndjson");
    let line = |id: &str, kind: &str, payload: &str| {
        format!(r#"{{"aggregate":"Account","id":"{id}","type":"{kind}","payload":{payload}}}"#)
    };
    let opened = line("7", "AccountOpened", r#"{"owner":"Alan"}"#);
    let lost = line("8", "MoneyDeposited", r#"{"cents":1}"#);
    std::fs::write(&week, format!("{opened}\n{lost}\n{}\n", line("7", "Other", "{}"))).unwrap();
    let show = "SELECT owner, cents + 1 AS more FROM accounts";
    let events = ["--events", week.to_str().unwrap(), "--show", show, "--show", "SELECT nothing"];
    let mut dev = Dev::start(&author, &url, &events);
    let said = dev.round().await;
    has(
        &said,
        &[
            "after 2 of the 3 events",
            "owner  more\n",
            "Alan   1\n",
            "column \"nothing\" does not exist",
        ],
    );
    has(
        &said,
        &[
            "error: event 2 (MoneyDeposited of Account/8) fails as `poison`:\n  there is no account 8",
        ],
    );
    dev.end().await;

    run(&db, &["import", week.to_str().unwrap()]).await.well();
    let mut dev = Dev::start(&author, &url, &["--copy-from", &url, "--stream", "Account/7"]);
    has(&dev.round().await, &["after 1 of the 2 events", "7        Alan   0\n"]);
    dev.end().await;
}
