//! SQL is source: a statement a file, under a comment that says what it is for.

use super::{Source, none, sources};

/// Where statements may stand in Rust: those that are made there, or belong to no table of ours.
const MAY_HOLD_SQL: [&str; 5] = [
    "host/src/db.rs",
    "host/src/sandbox/",
    "host/src/store/migrate.rs",
    // The name of a partition can't be a parameter.
    "host/src/store/partition/detach.rs",
    "host/src/store/wake.rs",
];

/// How a statement in Rust begins.
const STATEMENTS: [&str; 9] = [
    "\"SELECT ",
    "\"INSERT ",
    "\"UPDATE ",
    "\"DELETE ",
    "\"WITH ",
    "\"LOCK ",
    "\"MERGE ",
    "\"CREATE ",
    "\"ALTER ",
];

/// Whether a line runs a statement that is not in a file.
fn holds_sql(line: &str) -> bool {
    let asked = line.match_indices("query").any(|(at, _)| {
        let sqlx = line[..at].ends_with("sqlx::");
        let name: &str =
            line[at..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
        sqlx && !name.starts_with("query_file")
    });
    asked || line.contains("raw_sql(") || STATEMENTS.iter().any(|begin| line.contains(begin))
}

#[test]
fn statements_stand_in_files_of_their_own() {
    let broken: Vec<String> = sources(&["host/src"], ".rs")
        .iter()
        .filter(|source| !MAY_HOLD_SQL.iter().any(|place| source.path.starts_with(place)))
        .filter(|source| !source.path.ends_with("/tests.rs"))
        .flat_map(|source| {
            let lines = source.shipped().filter(|(_, line)| holds_sql(line));
            lines
                .map(|(number, line)| {
                    format!("{}:{number}: SQL belongs in a .sql file: {line}", source.path)
                })
                .collect::<Vec<_>>()
        })
        .collect();
    none(&broken);
}

#[test]
fn a_statement_in_rust_is_found_however_it_is_run() {
    for line in [
        "sqlx::query(\"…\")",
        "let row = sqlx::query_as!(Row, \"…\")",
        "sqlx::query_scalar::<_, i64>(TEXT)",
        "conn.execute(sqlx::raw_sql(text))",
        "const TEXT: &str = \"SELECT 1\";",
    ] {
        assert!(holds_sql(line), "{line}");
    }
    for line in
        ["sqlx::query_file!(\"src/store/sql/x.sql\")", "sql.query(&mut tx)", "\"One SELECT\""]
    {
        assert!(!holds_sql(line), "{line}");
    }
}

#[test]
fn every_statement_begins_with_a_comment() {
    let broken: Vec<String> = sources(&["host/src", "migrations"], ".sql")
        .iter()
        .filter(|source| !source.text.starts_with("-- "))
        .map(|source| format!("{}:1: begin with a comment: what it is for", source.path))
        .collect();
    none(&broken);
}

#[test]
fn every_statement_is_run_by_its_own_module() {
    let code = sources(&["host/src"], ".rs");
    let mut broken = Vec::new();
    for Source { path, .. } in sources(&["host/src"], ".sql") {
        let (folder, name) = path.rsplit_once("/sql/").expect("host/src/MODULE/sql/NAME.sql");
        let full = path.trim_start_matches("host/");
        let names = |source: &Source, text: &str| source.text.contains(&format!("\"{text}\""));
        let (own, others): (Vec<_>, Vec<_>) =
            code.iter().partition(|source| source.path.starts_with(&format!("{folder}/")));
        let near = format!("sql/{name}");
        if !own.iter().any(|source| names(source, full) || names(source, &near)) {
            broken.push(format!("{path}: no file of {folder} runs it"));
        }
        for other in others.iter().filter(|source| names(source, full)) {
            broken.push(format!("{}: runs {path}, which belongs to {folder}", other.path));
        }
    }
    none(&broken);
}
