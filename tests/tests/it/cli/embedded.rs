//! `--embedded`: a private server for the length of a command.

use std::os::unix::fs::PermissionsExt as _;

use super::{finish, program};

#[tokio::test]
async fn two_commands_share_a_private_database_and_leave_no_server_behind() {
    let open = std::fs::Permissions::from_mode(0o755);
    let dir = tempfile::Builder::new().permissions(open).tempdir().unwrap();
    let data = dir.path().join("postgres");
    let embedded = format!("--embedded={}", data.display());

    let append = ["append", "--aggregate", "Account", "--id", "1", "--type", "Opened", &embedded];
    let said = finish(&mut program(&append), b"").await.well();
    assert!(said.out.contains("Account/1 is at version 1"), "{}", said.out);
    assert!(!data.join("data/postmaster.pid").exists(), "the server was stopped");

    let said = finish(&mut program(&["events", "--json", &embedded]), b"").await.well();
    assert_eq!(said.lines()[0]["aggregate"], "Account");
    // A failure stops it, too.
    let conflict: Vec<&str> = append.iter().chain(&["--expected", "none"]).copied().collect();
    finish(&mut program(&conflict), b"").await.failed(3, &["is at version 1"]);
    assert!(!data.join("data/postmaster.pid").exists(), "the server was stopped");
}

#[tokio::test]
async fn a_private_server_and_a_database_url_at_once_are_a_contradiction() {
    let args = ["events", "--embedded=x", "--database-url", "postgres://x"];
    finish(&mut program(&args), b"").await.failed(2, &["--embedded", "--database-url"]);
}
