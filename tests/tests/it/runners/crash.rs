//! The database server itself dies and comes back, with hosts and writers at work.

use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::time::Duration;

use eventfabric::db;
use eventfabric::embedded::{Embedded, start, start_with};
use eventfabric::event::StreamId;
use eventfabric::store::EventStore;
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use super::rig::{Process, append, folder, good, until};
use super::week::{EVENTS, week_file};
use crate::embedded::{Dir, pid};

/// What a projection answers, as JSON.
async fn query(url: &str, plugin: &str, sql: &str) -> String {
    let mut query = Process::on(url, &["query", plugin, sql, "--json"], &[]);
    query.ended().await;
    query.output()
}

fn kill_server(dir: &Path) {
    assert!(Command::new("kill").args(["-9", &pid(dir)]).status().unwrap().success());
}

/// The process of the server that writes down each page of the WAL that is full, stopped: what nobody waits for
/// stays in memory. Its end is that of the server.
struct Writer(i64);

impl Writer {
    async fn stopped(server: &Embedded) -> Self {
        let find = "SELECT pid::bigint FROM pg_stat_activity WHERE backend_type = 'walwriter'";
        let writer = Self(number(server, find.to_owned()).await);
        // Stopped in the midst of a write, it would hold the lock that everybody's flush needs, for ever: it goes on
        // until a flush that takes each of the WAL's buffers comes through.
        let flush =
            "SELECT 1::bigint FROM pg_logical_emit_message(true, 'test', repeat('x', 8 << 20))";
        for _ in 0..20 {
            assert!(writer.signal("STOP"), "there is no process {}", writer.0);
            let mut flushed = pin!(number(server, flush.to_owned()));
            if let Ok(flushed) = timeout(Duration::from_secs(2), &mut flushed).await {
                assert_eq!(flushed, 1);
                return writer;
            }
            writer.signal("CONT");
            flushed.await;
        }
        panic!("the server cannot flush beside its stopped WAL writer");
    }

    fn signal(&self, name: &str) -> bool {
        Command::new("kill").args(["-s", name, &self.0.to_string()]).status().unwrap().success()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_twice_during_an_import_loses_and_repeats_nothing() {
    let place = Dir::new();
    let dir = place.postgres();
    let mut server = start(&dir).await.unwrap();
    let url = server.url();
    let plugins = folder(&["counter_v1", "carriers"]);
    let mut host = Process::on(&url, &["run", "--plugins", plugins.path().to_str().unwrap()], &[]);
    host.until_log("running").await;
    let file = week_file("ndjson.gz");
    let mut import = Process::on(&url, &["import", "--batch", "20", file.to_str().unwrap()], &[]);
    for part in 1..=2 {
        let pool = db::pool(server.options(), 1);
        let sql = "SELECT count(*) FROM eventfabric.events";
        until("a part is imported", async || {
            let events: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
            events >= part * EVENTS / 4
        })
        .await;
        assert!(import.is_running());
        kill_server(&dir);
        drop(server);
        server = start(&dir).await.unwrap();
        assert_eq!(server.url(), url);
    }
    import.succeeded().await;
    let wait = ["wait", "--caught-up", "--timeout", "60s"];
    Process::on(&url, &wait, &[]).succeeded().await;
    let counted = query(&url, "counter", "SELECT sum(n)::bigint AS n FROM counts").await;
    assert!(counted.contains(&EVENTS.to_string()), "{counted}");
    let departed = query(&url, "carriers", "SELECT sum(departed)::bigint AS n FROM carriers").await;
    assert!(departed.contains("6064"), "{departed}");
    assert!(host.is_running());
    host.signal("TERM");
    host.succeeded().await;
}

async fn number(server: &Embedded, sql: String) -> i64 {
    let pool = db::pool(server.administrator().database("eventfabric"), 1);
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap_or(-1)
}

/// Transactions of projections do not wait for the disk: what the server forgets of them is done again, once. After
/// that they do for a while.
#[tokio::test]
async fn what_a_killed_server_forgets_of_a_projection_is_handled_again() {
    const ALL: i64 = 4000;
    let place = Dir::new();
    let dir = place.postgres();
    // A server that writes down what nobody waits for as late as it can.
    let lazy = [("bgwriter_lru_maxpages", "0")];
    let mut server = start_with(&dir, &lazy).await.unwrap();
    let mut writer = Writer::stopped(&server).await;
    let url = server.url();
    Process::on(&url, &["migrate"], &[]).succeeded().await;
    let store = EventStore::new(db::pool(server.options(), 1));
    for n in 0..4 {
        append(&store, StreamId::new("Torture", format!("{n}")), "Deed", &good(1000)).await;
    }
    let guests = ["torture_catchup", "torture_async"];
    let plugins = folder(&guests);
    let small =
        [("EVENTFABRIC_RUNNER__CATCH_UP__BATCH", "5"), ("EVENTFABRIC_RUNNER__ASYNC__BATCH", "5")];
    let run = ["run", "--plugins", plugins.path().to_str().unwrap()];
    let mut host = Process::on(&url, &run, &small);
    for part in 1..=3 {
        let applied = |guest| format!("SELECT count(*) FROM {guest}.applied");
        until("a part is handled", async || {
            number(&server, applied(guests[0])).await >= part * 500
                && number(&server, applied(guests[1])).await >= part * 10
        })
        .await;
        host.signal("STOP");
        let mut before = [0, 0];
        for (before, guest) in before.iter_mut().zip(guests) {
            *before = number(&server, applied(guest)).await;
            assert!(*before < ALL, "{guest} was stopped in the middle: {before} in part {part}");
        }
        kill_server(&dir);
        drop((writer, server));
        server = start_with(&dir, &lazy).await.unwrap();
        writer = Writer::stopped(&server).await;
        for (before, guest) in before.into_iter().zip(guests) {
            let forgotten = before - number(&server, applied(guest)).await;
            // After a crash the host waits for the disk for a while, or what makes a server crash would never get to
            // its last attempt.
            assert_eq!(forgotten > 0, part == 1, "{guest}: {forgotten} forgotten in part {part}");
        }
        host.signal("CONT");
    }
    let wait = ["wait", "--caught-up", "--timeout", "60s"];
    Process::on(&url, &wait, &[]).succeeded().await;
    for guest in guests {
        let sql = |what| format!("SELECT count({what}) FROM {guest}.applied");
        assert_eq!(number(&server, sql("*")).await, ALL, "{guest}");
        assert_eq!(number(&server, sql("DISTINCT position")).await, ALL, "{guest}");
    }
    assert!(host.is_running());
    host.signal("TERM");
    host.succeeded().await;
    // It ends with its server.
    writer.signal("CONT");
    std::mem::forget(writer);
}

#[tokio::test]
async fn a_host_starts_its_private_server_again_when_that_is_killed() {
    let place = Dir::new();
    let embedded = format!("--embedded={}", place.postgres().display());
    let plugins = folder(&["counter_v1"]);
    let args = ["run", "--plugins", plugins.path().to_str().unwrap(), &embedded];
    let host = Process::on("postgres://nobody@127.0.0.1:1/none", &args, &[]);
    host.until_log("running").await;
    for n in 1..=2 {
        kill_server(&place.postgres());
        until("it is started again", async || {
            host.log().matches("it was started again").count() == n
        })
        .await;
    }
    // The host works as before.
    let append = ["append", "--aggregate", "A", "--id", "1", "--type", "Deed", &embedded];
    Process::on("postgres://nobody@127.0.0.1:1/none", &append, &[]).succeeded().await;
    let wait = ["wait", "--caught-up", "--timeout", "60s", &embedded];
    Process::on("postgres://nobody@127.0.0.1:1/none", &wait, &[]).succeeded().await;
    host.signal("TERM");
    host.succeeded().await;
    assert!(!place.postgres().join("data/postmaster.pid").exists(), "the server was stopped");
}

#[tokio::test]
async fn a_host_whose_database_is_gone_still_ends_when_it_is_told_to() {
    let place = Dir::new();
    let server = start(&place.postgres()).await.unwrap();
    let plugins = folder(&["counter_v1", "carriers"]);
    let plugins = plugins.path().to_str().unwrap();
    let mut host = Process::on(&server.url(), &["run", "--plugins", plugins], &[]);
    host.until_log("running").await;
    kill_server(&place.postgres());
    host.until_log("cannot read the end of the log").await;
    host.signal("TERM");
    assert!(host.ended().await.success());
}
