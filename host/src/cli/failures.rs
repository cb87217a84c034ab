//! Failures of plugins as their authors read them.

use super::output;
use crate::projection::Failure;

/// Where a message begins to quote the statement: the host's own, and that of an SDK.
const QUOTES: [&str; 2] = ["; in: ", "\nstatement: "];

/// What happened, and the statement that failed with a mark under the place.
pub(super) fn lines(failure: &Failure) -> Vec<String> {
    let message = output::printable(&failure.message);
    let Some(statement) = &failure.statement else {
        return message.lines().map(str::to_owned).collect();
    };
    let end = QUOTES.iter().filter_map(|quote| message.find(quote)).min();
    let message = &message[..end.unwrap_or(message.len())];
    let mut lines: Vec<String> = message.lines().map(str::to_owned).collect();
    lines.extend(marked(&output::printable(statement), failure.place));
    lines
}

/// A statement, and under one of its lines a mark at a place, in characters from 1.
pub(super) fn marked(statement: &str, place: Option<u32>) -> Vec<String> {
    let mut left = place.map(|place| place.saturating_sub(1) as usize);
    let mut lines = Vec::new();
    for line in statement.lines() {
        lines.push(format!("  | {line}"));
        // The characters of the line, and its end.
        let length = line.chars().count() + 1;
        match left {
            Some(column) if column < length => {
                lines.push(format!("  | {}^", " ".repeat(column)));
                left = None;
            }
            more => left = more.map(|left| left - length),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::FailureKind;

    #[test]
    fn the_place_is_marked_in_its_line() {
        let marked = |place| marked("SELECT a,\n       b\nFROM t", place).join("\n");
        assert_eq!(marked(None), "  | SELECT a,\n  |        b\n  | FROM t");
        assert_eq!(marked(Some(8)), "  | SELECT a,\n  |        ^\n  |        b\n  | FROM t");
        assert_eq!(marked(Some(25)), "  | SELECT a,\n  |        b\n  | FROM t\n  |      ^");
        assert_eq!(marked(Some(99)), marked(None), "a place beyond the end");
    }

    #[test]
    fn the_statement_is_quoted_once() {
        let sdk = "no such table (SQLSTATE 42P01)\nstatement: SELECT 1\nat character 1: SELECT 1";
        for message in ["no such table (SQLSTATE 42P01); in: SELECT 1", sdk] {
            let mut failure = Failure::new(FailureKind::Fatal, message);
            failure.statement = Some("SELECT 1".to_owned());
            assert_eq!(lines(&failure), ["no such table (SQLSTATE 42P01)", "  | SELECT 1"]);
        }
    }
}
