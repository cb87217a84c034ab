//! Another version of `ledger`: its first migration has another text, and there is a second one.

#[path = "../../ledger_v1/src/ledger.rs"]
mod ledger;

pub use ledger::Ledger;

const VERSION: i32 = 2;

const MIGRATIONS: &[(&str, &str)] = &[
    (
        "create entries and totals",
        "CREATE TABLE entries (position bigint PRIMARY KEY, made_by integer NOT NULL, note text);
         CREATE TABLE totals (one integer PRIMARY KEY, n numeric NOT NULL, made_by integer NOT NULL)",
    ),
    ("create a view", "CREATE VIEW newest AS SELECT max(position) AS position FROM entries"),
];
