//! To be taken for something harmless.

use super::{Attack, grown, statement};

fn nul() -> String {
    "SELECT 1 \0; DELETE FROM eventfabric.outbox".to_owned()
}

fn a_look_alike() -> String {
    // A Cyrillic letter in the name of the schema.
    "SELECT payload FROM \u{435}ventfabric.events".to_owned()
}

const SERVER: &str = "there is nothing of that name";

pub(super) const ATTACKS: &[Attack] = &[
    statement("the log's name in quotes", "SELECT \"payload\" FROM \"eventfabric\".\"events\""),
    statement("the log's name in capitals", "SELECT PAYLOAD FROM EVENTFABRIC.EVENTS"),
    statement(
        "the log's name in Unicode escapes",
        "SELECT payload FROM U&\"eventfabri\\0063\".U&\"\\0065vents\"",
    ),
    statement(
        "the log's name with another escape",
        "SELECT payload FROM U&\"eventfabri!0063\" UESCAPE '!'.events",
    ),
    grown("a look-alike of the log's name", a_look_alike).in_vain(SERVER),
    statement(
        "the log behind an alias of its own table",
        "SELECT accounts.payload FROM eventfabric.events accounts",
    ),
    statement(
        "the log behind a CTE of its own table's name",
        "WITH accounts AS (SELECT * FROM eventfabric.events) SELECT count(*) FROM accounts",
    ),
    statement(
        "the log behind comments",
        "SELECT/**/payload/**/FROM/* -- */eventfabric/**/./**/events",
    ),
    statement(
        "the log behind nested comments",
        "SELECT 1 /* /* */ */ + (SELECT count(*) FROM eventfabric.events)",
    ),
    statement(
        "the log behind a comment's false end",
        "SELECT 1 -- */ \n + (SELECT count(*) FROM eventfabric.events)",
    ),
    statement(
        "the log behind a carriage return",
        "SELECT 1 --\r + (SELECT count(*) FROM eventfabric.events)",
    ),
    statement(
        "a string that ends in a backslash",
        "SELECT '\\' , (SELECT count(*) FROM eventfabric.events) --'",
    ),
    statement("an escape string", "SELECT E'\\'' , (SELECT count(*) FROM eventfabric.events)"),
    statement(
        "a dollar-quoted string",
        "SELECT $a$ $b$ $a$, (SELECT count(*) FROM eventfabric.events) AS \"$b$\"",
    ),
    statement(
        "strings joined over lines",
        "SELECT 'a'\n'b', (SELECT count(*) FROM eventfabric.events)",
    ),
    statement("standard_conforming_strings", "SET standard_conforming_strings = off").two_cannot(
        "any role may change the settings of its session; the judge is the server itself",
    ),
    statement("a second statement behind a quote", "SELECT ';' ; DELETE FROM eventfabric.outbox"),
    statement("a second statement behind a dollar", "SELECT $$;$$; DELETE FROM eventfabric.outbox"),
    statement(
        "a body's end inside the statement",
        "SELECT 1; END; DELETE FROM eventfabric.outbox; --",
    ),
    statement("a comment that swallows the body's end", "SELECT 1 /*")
        .in_vain("the comment has no end"),
    statement("a comment that swallows the line", "SELECT count(*) FROM eventfabric.events --"),
    grown("NUL in the text", nul).in_vain("the protocol ends a text there"),
    statement(
        "a column named like a field of the tree",
        "SELECT payload AS \":relid 0\" FROM eventfabric.events",
    ),
    statement(
        "an alias that closes the tree",
        "SELECT \"})\".payload FROM eventfabric.events \"})\"",
    ),
    statement(
        "an alias that opens a node",
        "SELECT 1 AS \"{CONST :consttype 23\" FROM eventfabric.events",
    ),
    statement("an alias of backslashes", "SELECT 1 AS \"\\\\\\\" FROM eventfabric.events \"\\\""),
    statement(
        "a function by its operator",
        "SELECT 1 OPERATOR(pg_catalog.+) (SELECT count(*) FROM eventfabric.events)",
    ),
    statement("a function in field notation", "SELECT accounts.current_setting FROM accounts")
        .in_vain("there is no such column"),
    statement("a function by its schema", "SELECT pg_catalog.\"set_config\"('role', 'none', true)"),
    statement("a function in FROM", "SELECT * FROM pg_catalog.set_config('role', 'none', true)"),
    statement(
        "a function in ROWS FROM",
        "SELECT * FROM ROWS FROM (generate_series(1, 2), pg_ls_dir('/etc'))",
    ),
    statement(
        "a function that never runs",
        "SELECT CASE WHEN false THEN pg_read_file('/etc/hostname') END",
    )
    .two_cannot("rights are looked at when it runs"),
    statement(
        "a function behind COALESCE",
        "SELECT coalesce(1::text, pg_read_file('/etc/hostname'))",
    )
    .two_cannot("rights are looked at when it runs"),
    statement(
        "a function in a JOIN's condition",
        "SELECT a.id FROM accounts a LEFT JOIN accounts b ON pg_read_file('/etc/hostname') = b.owner",
    ),
    statement(
        "a function in ORDER BY",
        "SELECT id FROM accounts ORDER BY pg_read_file('/etc/hostname')",
    ),
    statement("a function in DISTINCT ON", "SELECT DISTINCT ON (pg_stat_file('/etc/hostname')) 1"),
    statement(
        "a function in GROUP BY",
        "SELECT count(*) FROM accounts GROUP BY pg_read_file('/etc/hostname')",
    ),
    statement(
        "a function in HAVING",
        "SELECT count(*) FROM accounts HAVING pg_read_file('/etc/hostname') <> ''",
    ),
    statement("a function in OFFSET", "SELECT 1 OFFSET length(pg_read_file('/etc/hostname'))"),
    statement("a function in a VALUES list", "VALUES (pg_read_file('/etc/hostname'))"),
    statement(
        "a function in an array's subscript",
        "SELECT (ARRAY[1])[length(pg_read_file('/etc/hostname'))]",
    ),
    statement(
        "a function as an aggregate's argument",
        "SELECT max(pg_read_file('/etc/hostname')) FROM generate_series(1, 1)",
    ),
    statement(
        "a function in an aggregate's order",
        "SELECT array_agg(g ORDER BY pg_read_file('/etc/hostname')) FROM generate_series(1, 1) g",
    ),
    statement(
        "a function in a conflict's condition",
        "INSERT INTO accounts (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET balance = 1 WHERE pg_read_file('/etc/hostname') = ''",
    ),
    statement(
        "a function in MERGE's condition",
        "MERGE INTO accounts a USING (SELECT 1 AS id) s ON a.id = s.id WHEN NOT MATCHED AND pg_read_file('/etc/hostname') <> '' THEN INSERT (id) VALUES (s.id)",
    ),
    statement("a cast by a function's name", "SELECT regclass('eventfabric.events')::text"),
    statement("a RETURN", "RETURN 1").in_vain("it stands in functions only"),
];
