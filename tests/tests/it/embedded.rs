//! `--embedded`: the life of a private server, each here in a directory of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use eventfabric::embedded::{Embedded, EmbeddedError, start, start_with, stop};
use sqlx::{Connection as _, Executor as _, PgConnection};

/// A directory that any user may enter, and whose server ends with the test.
pub struct Dir(tempfile::TempDir);

impl Dir {
    pub fn new() -> Self {
        let open = std::fs::Permissions::from_mode(0o755);
        Self(tempfile::Builder::new().permissions(open).tempdir().unwrap())
    }

    pub fn postgres(&self) -> std::path::PathBuf {
        self.0.path().join("postgres")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let dir = self.postgres();
        let stopping = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(stop(&dir)).unwrap()
        });
        let _ = stopping.join();
    }
}

async fn connect(server: &Embedded) -> PgConnection {
    PgConnection::connect_with(&server.options()).await.unwrap()
}

pub fn pid(dir: &Path) -> String {
    let text = std::fs::read_to_string(dir.join("data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_server_is_started_found_by_the_next_program_and_stopped_by_the_last() {
    let dir = Dir::new();
    let first = start(&dir.postgres()).await.unwrap();
    assert!(first.started);
    connect(&first).await.execute("CREATE TABLE t AS SELECT 1 AS n").await.unwrap();

    let second = start(&dir.postgres()).await.unwrap();
    assert!(!second.started);
    assert_eq!((second.port, &second.version), (first.port, &first.version));
    let port = first.port;
    assert!(!first.stop().await.unwrap(), "the second one still uses it");
    connect(&second).await.execute("SELECT n FROM t").await.unwrap();
    assert!(second.stop().await.unwrap());
    assert!(!dir.postgres().join("data/postmaster.pid").exists());

    let again = start(&dir.postgres()).await.unwrap();
    assert_eq!(again.port, port, "a URL stays good");
    connect(&again).await.execute("SELECT n FROM t").await.unwrap();
}

#[tokio::test]
async fn the_hosts_role_is_no_superuser_and_its_password_is_private() {
    let dir = Dir::new();
    let server = start(&dir.postgres()).await.unwrap();
    let (superuser, roles, encoding, fsync): (bool, bool, String, String) = sqlx::query_as(
        "SELECT rolsuper, rolcreaterole, current_setting('server_encoding'), current_setting('fsync')
         FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(&mut connect(&server).await)
    .await
    .unwrap();
    assert_eq!((superuser, roles, encoding.as_str(), fsync.as_str()), (false, true, "UTF8", "on"));

    let file = std::fs::metadata(dir.postgres().join("password")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let password = std::fs::read_to_string(dir.postgres().join("password")).unwrap();
    assert!(server.url().contains(password.trim()));
    assert!(!server.url_without_password().contains(password.trim()));
    assert!(!format!("{server:?}").contains(password.trim()));
    let wrong = server.options().password("wrong");
    assert!(PgConnection::connect_with(&wrong).await.is_err());
}

#[tokio::test]
async fn programs_that_start_at_once_get_one_server() {
    let dir = Dir::new();
    let path = dir.postgres();
    let (a, b, c) = tokio::join!(start(&path), start(&path), start(&path));
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(all.iter().filter(|server| server.started).count(), 1);
    assert!(all.iter().all(|server| server.port == all[0].port));
}

#[tokio::test]
async fn the_server_of_a_killed_program_is_found_and_stopped_by_the_next() {
    let dir = Dir::new();
    // Dropped, and not stopped: as if the program had been killed.
    drop(start(&dir.postgres()).await.unwrap());
    let next = start(&dir.postgres()).await.unwrap();
    assert!(!next.started);
    assert!(next.stop().await.unwrap());
    assert!(!stop(&dir.postgres()).await.unwrap(), "it has stopped");
}

#[tokio::test]
async fn a_killed_server_recovers_what_was_committed() {
    let dir = Dir::new();
    let server = start(&dir.postgres()).await.unwrap();
    connect(&server).await.execute("CREATE TABLE t AS SELECT 1 AS n").await.unwrap();
    let killed = Command::new("kill").args(["-9", &pid(&dir.postgres())]).status().unwrap();
    assert!(killed.success());
    drop(server);

    let again = start(&dir.postgres()).await.unwrap();
    assert!(again.started);
    connect(&again).await.execute("SELECT n FROM t").await.unwrap();
}

#[tokio::test]
async fn a_directory_with_other_things_in_it_is_left_as_it_is() {
    let dir = Dir::new();
    let theirs = dir.postgres();
    std::fs::create_dir_all(&theirs).unwrap();
    std::fs::set_permissions(&theirs, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(theirs.join("notes.txt"), "mine").unwrap();
    let error = start(&theirs).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::NotOurs(_)), "{error}");
    assert!(error.to_string().contains("empty"), "{error}");
    assert_eq!(std::fs::metadata(&theirs).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(std::fs::read_dir(&theirs).unwrap().count(), 1);
    // An empty one will do.
    std::fs::remove_file(theirs.join("notes.txt")).unwrap();
    start(&theirs).await.unwrap();
}

#[tokio::test]
async fn an_initialisation_that_was_interrupted_begins_anew() {
    let dir = Dir::new();
    let unfinished = dir.postgres().join("data.unfinished");
    std::fs::create_dir_all(&unfinished).unwrap();
    std::fs::write(unfinished.join("PG_VERSION"), "15\n").unwrap();
    start(&dir.postgres()).await.unwrap();
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_server_that_does_not_start_shows_the_end_of_its_log() {
    let dir = Dir::new();
    let error = start_with(&dir.postgres(), &[("shared_buffers", "not a size")]).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("pg_ctl start") && text.contains("shared_buffers"), "{text}");
}

#[tokio::test]
async fn data_of_a_version_that_this_machine_has_not_are_left_alone() {
    let dir = Dir::new();
    let data = dir.postgres().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("PG_VERSION"), "12\n").unwrap();
    let error = start(&dir.postgres()).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::OtherVersion { data: 12, .. }), "{error}");
    assert!(error.to_string().contains("install PostgreSQL 12"), "{error}");
}
