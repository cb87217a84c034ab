//! Rows that were expected, beside those that are there.

use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use super::format::Row;
use crate::cli::{failures, output};
use crate::runner::Run;
use crate::sandbox::{SandboxError, TextRow};

/// Rows that are compared, at most.
const MOST: usize = 10_000;

/// Equal rows that are shown around one that differs.
const AROUND: usize = 2;

/// Characters of a value that are shown.
const WIDTH: usize = 200;

/// What rows are held against.
pub(super) struct Wanted<'a> {
    /// What they are called in a message.
    pub title: &'a str,
    pub sql: &'a str,
    pub rows: &'a [Row],
    pub ordered: bool,
}

/// How the rows of a query differ from what is wanted, if they do.
pub(super) async fn compare(run: &mut Run<'_>, wanted: &Wanted<'_>) -> Option<String> {
    let title = wanted.title;
    match differences(run, wanted).await {
        Ok(None) => None,
        Ok(Some(text)) => Some(format!("{title}: {text}")),
        Err(SandboxError::Sql(error)) => {
            let mut lines = vec![format!("{title}: {error}")];
            if error.position.is_some() {
                lines.extend(failures::marked(wanted.sql, error.position));
            }
            Some(lines.join("\n"))
        }
        Err(error) => Some(format!("{title}: {error}")),
    }
}

async fn differences(
    run: &mut Run<'_>,
    wanted: &Wanted<'_>,
) -> Result<Option<String>, SandboxError> {
    let found = run.read(wanted.sql, MOST + 1).await?;
    if found.rows.len() > MOST {
        return Ok(Some(format!("there are more than {MOST} rows, too many to be compared")));
    }
    let named = |column: &String| wanted.rows.iter().any(|row| row.contains_key(column));
    let all: Vec<&str> = found.columns.iter().map(|(name, _)| &**name).collect();
    if let Some(unknown) =
        wanted.rows.iter().flat_map(|row| row.keys()).find(|name| !all.contains(&name.as_str()))
    {
        return Ok(Some(format!("there is no column `{unknown}`; there are {}", all.join(", "))));
    }
    let looked_at: Vec<usize> = (0..all.len())
        .filter(|at| wanted.rows.is_empty() || named(&found.columns[*at].0))
        .collect();
    let columns: Vec<_> = looked_at.iter().map(|at| found.columns[*at].clone()).collect();
    if let Some(twice) = (1..columns.len()).find(|at| columns[..*at].contains(&columns[*at])) {
        let name = &columns[twice].0;
        return Ok(Some(format!("two columns are called `{name}`: give them names of their own")));
    }
    let mut expected = match wanted.rows {
        [] => Vec::new(),
        rows => {
            let json = serde_json::to_string(rows).unwrap_or_default();
            run.rows_of_json(&columns, &json).await?
        }
    };
    let mut found: Vec<TextRow> = found
        .rows
        .into_iter()
        .map(|row| looked_at.iter().map(|at| row[*at].clone()).collect())
        .collect();
    for (at, _) in columns.iter().enumerate().filter(|(_, (_, kind))| kind == "json") {
        for row in expected.iter_mut().chain(&mut found) {
            row[at] = row[at].take().map(|text| plain_json(&text));
        }
    }
    if !wanted.ordered {
        expected.sort();
        found.sort();
    }
    if expected == found {
        return Ok(None);
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| &**name).collect();
    Ok(Some(format!(
        "the rows differ (- expected, + found)\n{}",
        lines(&names, &expected, &found).join("\n")
    )))
}

/// PostgreSQL keeps the text of `json` as it was written: spaces and the order of keys say nothing.
fn plain_json(text: &str) -> String {
    serde_json::from_str::<serde_json::Value>(text).map_or(text.to_owned(), |json| json.to_string())
}

/// The rows that differ, with a few others around, in columns.
fn lines(names: &[&str], expected: &[TextRow], found: &[TextRow]) -> Vec<String> {
    let ops = capture_diff_slices(Algorithm::Myers, expected, found);
    let mut rows: Vec<(char, Vec<String>)> =
        vec![(' ', names.iter().map(|name| (*name).to_owned()).collect())];
    for (at, group) in group_diff_ops(ops, AROUND).into_iter().enumerate() {
        if at > 0 {
            rows.push((' ', vec!["…".to_owned()]));
        }
        for op in group {
            let old = expected[op.old_range()].iter().map(shown);
            let new = found[op.new_range()].iter().map(shown);
            match op {
                DiffOp::Equal { .. } => rows.extend(old.map(|row| (' ', row))),
                _ => {
                    rows.extend(old.map(|row| ('-', row)));
                    rows.extend(new.map(|row| ('+', row)));
                }
            }
        }
    }
    in_columns(&rows)
}

/// Lines of cells of the same width.
pub(in crate::cli) fn in_columns(rows: &[(char, Vec<String>)]) -> Vec<String> {
    let columns = rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0);
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|(_, row)| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |(sign, row): &(char, Vec<String>)| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("  {sign} {}", cells.join("  ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The values of a row for people.
pub(in crate::cli) fn shown(row: &TextRow) -> Vec<String> {
    let cell = |value: &Option<String>| match value {
        None => "NULL".to_owned(),
        // Not to be taken for what is not there, or for nothing.
        Some(text) if text == "NULL" || text.trim() != text || text.is_empty() => {
            format!("\"{}\"", output::on_one_line(text))
        }
        Some(text) if text.chars().count() > WIDTH => {
            format!("{}…", output::on_one_line(&text.chars().take(WIDTH).collect::<String>()))
        }
        Some(text) => output::on_one_line(text),
    };
    row.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<TextRow> {
        let cell = |cell: &str| Some(cell.to_owned()).filter(|cell| cell != "~");
        text.split(';').map(|row| row.split(',').map(cell).collect()).collect()
    }

    #[test]
    fn a_difference_stands_among_its_neighbours() {
        let expected = rows("1,Ada,700;2,Grace,0;3,a,1;4,b,1;5,c,1;6,d,1");
        let found = rows("1,Ada,750;2,Grace,0;3,a,1;4,b,1;5,c,1;6,~,1");
        assert_eq!(
            lines(&["account", "owner", "cents"], &expected, &found).join("\n"),
            "    account  owner  cents\n  \
             - 1        Ada    700\n  \
             + 1        Ada    750\n    \
               2        Grace  0\n    \
               3        a      1\n    \
               4        b      1\n    \
               5        c      1\n  \
             - 6        d      1\n  \
             + 6        NULL   1"
        );
    }

    #[test]
    fn text_that_looks_like_nothing_is_quoted() {
        let row = vec![None, Some("NULL".to_owned()), Some(String::new()), Some("x ".to_owned())];
        assert_eq!(shown(&row), ["NULL", "\"NULL\"", "\"\"", "\"x \""]);
    }
}
