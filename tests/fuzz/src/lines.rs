//! Lines of an NDJSON file that are nearly right.

use std::path::Path;

use eventfabric_tests::database;
use rand::Rng;
use rand::rngs::StdRng;

use crate::Round;
use crate::mutate::mutate;

const LINES: usize = 200;
const LINE: &str = r#"{"aggregate":"Account","id":"7","type":"Opened","version":1,"payload":{"owner":"\u00e9","n":[1,2.5e3,null]},"occurred_at":"2013-01-01T10:15:00Z","event_id":"0190a1b2-0000-7000-8000-000000000001","tenant":"default","topic":"t","correlation_id":"c","causation_id":null}"#;

/// Imports a file of such lines: each is taken or named, and the program ends as it says.
pub async fn round(rng: &mut StdRng, program: &Path) -> anyhow::Result<Round> {
    let mut round = Round::default();
    let db = database().await;
    let mut file = tempfile::NamedTempFile::new()?;
    for _ in 0..LINES {
        let mut line = LINE.as_bytes().to_vec();
        if !rng.random_ratio(1, 10) {
            mutate(rng, &mut line);
        }
        line.push(b'\n');
        std::io::Write::write_all(&mut file, &line)?;
    }
    for arguments in [&["--skip-bad-lines"][..], &[]] {
        let mut import = tokio::process::Command::new(program);
        import.env("DATABASE_URL", db.url()).arg("import").arg(file.path()).args(arguments);
        let output = import.output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0..=2) if !said.contains("panicked") => round.count("files taken or refused"),
            code => round.found(format!("import {arguments:?} ended with {code:?}: {said}")),
        }
    }
    Ok(round)
}
