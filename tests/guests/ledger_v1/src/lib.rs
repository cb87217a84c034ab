//! The first version of `ledger`.

mod ledger;

pub use ledger::Ledger;

const VERSION: i32 = 1;

const MIGRATIONS: &[(&str, &str)] = &[(
    "create entries and totals",
    "CREATE TABLE entries (position bigint PRIMARY KEY, made_by integer NOT NULL);
     CREATE TABLE totals (one integer PRIMARY KEY, n bigint NOT NULL, made_by integer NOT NULL);
     CREATE INDEX entries_made_by_idx ON entries (made_by)",
)];
