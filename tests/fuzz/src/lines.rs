//! Lines of an NDJSON file that are nearly right.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use eventfabric_tests::database;
use rand::Rng;
use rand::rngs::StdRng;

use crate::Round;
use crate::mutate::mutate;

const LINES: usize = 200;

/// How `eventfabric import` ends: all is in, or lines were left out and named (`cli/exit.rs`).
const DONE: i32 = 0;
const BAD_INPUT: i32 = 4;

fn line(n: usize) -> String {
    format!(
        r#"{{"aggregate":"Account","id":"{n}","type":"Opened","version":1,"payload":{{"owner":"\u00e9","n":[1,2.5e3,null]}},"occurred_at":"2013-01-01T10:15:00Z","tenant":"default","topic":"t","correlation_id":"c","causation_id":null}}"#
    )
}

/// Imports a file of such lines: those that are right are taken, the others named.
pub async fn round(rng: &mut StdRng, program: &Path) -> anyhow::Result<Round> {
    let mut round = Round::default();
    let db = database().await;
    let mut file = tempfile::NamedTempFile::new()?;
    let mut right = 0;
    for n in 0..LINES {
        let mut line = line(n).into_bytes();
        if rng.random_ratio(1, 10) {
            right += 1;
        } else {
            mutate(rng, &mut line);
        }
        line.push(b'\n');
        file.write_all(&line)?;
    }
    let mut import = tokio::process::Command::new(program);
    import.env("EVENTFABRIC_DATABASE_URL", db.url());
    import.args(["import", "--on-error", "skip"]).arg(file.path());
    let output = import.output().await.context("the import does not start")?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(DONE | BAD_INPUT) if !said.contains("panicked") => round.count("files"),
        code => round.found(format!("the import ended with {code:?}: {said}")),
    }
    let mut conn = db.connect().await;
    let taken: i64 =
        sqlx::query_scalar("SELECT count(*) FROM eventfabric.events").fetch_one(&mut conn).await?;
    round.counts.insert("events taken", taken.unsigned_abs());
    if taken < right {
        round.found(format!("{taken} events of {right} right lines: {said}"));
    }
    Ok(round)
}
