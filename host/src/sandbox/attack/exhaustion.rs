//! To use up what others need.

use super::{Attack, grown, statement};

fn fifty_megabytes() -> String {
    format!("SELECT '{}'", "x".repeat(50 << 20))
}

fn nested_brackets() -> String {
    format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000))
}

fn nested_selects() -> String {
    let depth = 4_000;
    format!("SELECT {}1{}", "(SELECT ".repeat(depth), ")".repeat(depth))
}

fn a_long_sum() -> String {
    format!("SELECT 1{}", "+1".repeat(30_000))
}

fn many_unions() -> String {
    format!("SELECT 1{}", " UNION SELECT 1".repeat(5_000))
}

fn many_parameters() -> String {
    let all: Vec<String> = (1..=200).map(|n| format!("${n}::int")).collect();
    format!("SELECT {}", all.join(" + "))
}

fn many_columns() -> String {
    let all: Vec<String> = (0..1_700).map(|n| format!("{n} AS c{n}")).collect();
    format!("SELECT {}", all.join(", "))
}

fn many_joins() -> String {
    let all: Vec<String> = (0..14).map(|n| format!("generate_series(1, 100) t{n}")).collect();
    format!("SELECT count(*) FROM {}", all.join(", "))
}

pub(super) const ATTACKS: &[Attack] = &[
    statement("pg_sleep", "SELECT pg_sleep(60)").endless(),
    statement("pg_sleep_for", "SELECT pg_sleep_for('1 minute')").endless(),
    statement(
        "pg_sleep in RETURNING",
        "INSERT INTO accounts (id) VALUES (1) RETURNING pg_sleep(60)",
    ).endless(),
    statement(
        "an endless recursion in SQL",
        "WITH RECURSIVE r (n) AS (SELECT 1::numeric UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    ).endless(),
    statement(
        "a recursion that doubles",
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT r.n FROM r, generate_series(1, 2)) SELECT count(*) FROM r",
    ).endless(),
    statement(
        "a recursion that doubles a text",
        "WITH RECURSIVE r (t) AS (SELECT 'xx'::text UNION ALL SELECT t || t FROM r) SELECT max(length(t)) FROM r",
    ).endless(),
    grown("a product of many sets", many_joins).endless(),
    statement("rows without end", "SELECT count(*) FROM generate_series(1, 1000000000000)")
        ,
    statement("more rows than anybody can take", "SELECT g FROM generate_series(1, 100000) g")
        .two_cannot("how much a result may hold is the host's limit"),
    statement("a text of a gigabyte", "SELECT length(repeat('x', 2000000000))").endless(),
    statement(
        "texts of megabytes, a thousand times",
        "SELECT sum(length(repeat('xyz' || g::text, 10000000))) FROM generate_series(1, 1000) g",
    ).endless(),
    statement(
        "an array without end",
        "SELECT cardinality(array_agg(g)) FROM generate_series(1, 1000000000) g",
    ).endless(),
    statement(
        "an array of all dimensions",
        "SELECT cardinality(array_fill(0, ARRAY[100000, 100000]))",
    ).endless(),
    statement(
        "a JSON document without end",
        "SELECT length(jsonb_agg(g)::text) FROM generate_series(1, 1000000000) g",
    ).endless(),
    statement(
        "a regular expression that never ends",
        "SELECT count(*) FROM generate_series(1, 100000) g WHERE repeat('a', 3000) ~ ('^(a|aa)+(b|c)' || g::text || '$')",
    ).endless(),
    statement(
        "a factorial",
        "SELECT factorial(30000) > 0 AND count(*) > 0 FROM generate_series(1, 1000) g WHERE factorial(20000 + g) > 0",
    ).endless(),
    statement(
        "a number of all digits",
        "SELECT count(*) FROM generate_series(1, 1000000) g WHERE (9 * g)::numeric ^ 10000 > 1",
    ).endless(),
    statement(
        "hashes without end",
        "SELECT count(DISTINCT sha512((g::text || repeat('x', 100000))::bytea)) FROM generate_series(1, 1000000) g",
    ).endless(),
    statement(
        "a sort on disk",
        "SELECT count(*) FROM (SELECT md5(g::text) AS m FROM generate_series(1, 100000000) g ORDER BY 1) q",
    ).endless(),
    statement(
        "table growth in one statement",
        "INSERT INTO accounts (id, owner) SELECT g, repeat('x', 1000) FROM generate_series(1, 100000000) g",
    ).endless(),
    statement(
        "a trigram of windows",
        "SELECT max(s) FROM (SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) AS s FROM generate_series(1, 100000) a) q",
    ).endless(),
    statement(
        "a cube of groups",
        "SELECT count(*) FROM generate_series(1, 100000) g GROUP BY CUBE (g % 2, g % 3, g % 5, g % 7, g % 11, g % 13, g % 17, g % 19, g % 23, g % 29, g % 31, g % 37)",
    ).endless(),
    statement(
        "a product of grouping sets",
        "SELECT count(*) FROM accounts GROUP BY GROUPING SETS ((id), (owner)), ROLLUP (balance, mood)",
    ).endless().two_cannot("no right guards the form of a query"),
    statement(
        "too many groups",
        "SELECT count(*) FROM accounts GROUP BY CUBE (id, id, id, id, id, id, id, id, id, id, id, id, id)",
    ).endless(),
    statement(
        "a text search without end",
        "SELECT count(*) FROM generate_series(1, 100000) g WHERE to_tsvector('simple', repeat(g::text || ' ', 10000)) @@ 'x'::tsquery",
    ).endless(),
    statement(
        "string_to_table of a giant",
        "SELECT count(*) FROM string_to_table(repeat('x,', 500000000), ',')",
    ).endless(),
    grown("a statement of 50 MB", fifty_megabytes).endless(),
    grown("brackets ten thousand deep", nested_brackets).in_vain("the parser gives up").endless(),
    grown("SELECTs thousands deep", nested_selects).in_vain("the parser gives up").endless(),
    grown("a sum of thirty thousand", a_long_sum).endless(),
    grown("a union of thousands", many_unions).endless(),
    grown("too many parameters", many_parameters).in_vain("nobody gives the parameters here").endless(),
    grown("too many columns", many_columns).endless(),
];
