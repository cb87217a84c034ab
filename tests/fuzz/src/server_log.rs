//! What the server writes into its log.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use anyhow::Context as _;
use eventfabric_testdb::server_dir;

/// The log from a moment on.
pub struct ServerLog {
    file: File,
}

impl ServerLog {
    /// From now on.
    pub fn from_now() -> anyhow::Result<Self> {
        let path = server_dir().join("log");
        let mut file = File::open(&path).with_context(|| path.display().to_string())?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file })
    }

    /// What is no answer to a statement of this database, and any end of a process by a signal.
    pub fn unusual(mut self, database: &str) -> anyhow::Result<Vec<String>> {
        let mut text = Vec::new();
        self.file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().filter(|line| is_unusual(line, database)).map(str::to_owned).collect())
    }
}

/// Lines that belong to an answer.
const ANSWERS: [&str; 7] =
    ["ERROR:  ", "DETAIL:  ", "HINT:  ", "QUERY:  ", "CONTEXT:  ", "STATEMENT:  ", "NOTICE:  "];
const OTHERS: [&str; 4] = ["LOG:  ", "WARNING:  ", "FATAL:  ", "PANIC:  "];

fn is_unusual(line: &str, database: &str) -> bool {
    // Lines after the first one of an entry.
    if line.starts_with('\t') {
        return false;
    }
    let first = |kinds: &[&str]| kinds.iter().filter_map(|kind| line.find(kind)).min();
    let other = match (first(&OTHERS), first(&ANSWERS)) {
        (Some(other), Some(answer)) => other < answer,
        (other, _) => other.is_some(),
    };
    other
        && (line.contains(&format!("] {database} ")) || line.contains(" was terminated by signal "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_causes_beside_its_answer_is_seen() {
        let line = |text: &str| format!("2026-01-01 00:00:00.000 UTC [7] fuzzed [unknown] {text}");
        for (text, unusual) in [
            ("ERROR:  no LOG:  here", false),
            ("STATEMENT:  SELECT 'PANIC:  '", false),
            ("LOG:  logged", true),
            ("WARNING:  there is no transaction in progress", true),
            ("FATAL:  terminating connection due to administrator command", true),
        ] {
            assert_eq!(is_unusual(&line(text), "fuzzed"), unusual, "{text}");
            assert!(!is_unusual(&line(text), "other"), "{text}");
        }
        let end = "2026-01-01 00:00:00.000 UTC [1]   LOG:  server process (PID 7) was terminated by signal 11: \
                   Segmentation fault";
        assert!(is_unusual(end, "fuzzed"));
        assert!(!is_unusual("\tLOG:  a line of a statement", "fuzzed"));
    }
}
