//! To do more with what is granted than to use it.

use super::{Attack, migration, statement};

const OUTSIDE: &str = "the judge reads text and catalogue, and the host's own role may do it: only \
                       the role that runs migrations may not";
const READS: &str = "it reads what may be read, and writes nothing";
const CALLS: &str = "it calls what may be called; who keeps it, calls it";

pub(super) const ATTACKS: &[Attack] = &[
    statement("UPDATE of a granted table", "UPDATE {lent}.places SET name = 'mine'"),
    statement("DELETE from a granted table", "DELETE FROM {lent}.places"),
    statement("INSERT into a granted table", "INSERT INTO {lent}.places (id) VALUES (2)"),
    statement(
        "an upsert into a granted table",
        "INSERT INTO {lent}.places AS p (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = 'mine'",
    ),
    statement(
        "MERGE into a granted table",
        "MERGE INTO {lent}.places p USING accounts a ON a.id = p.id WHEN NOT MATCHED THEN INSERT (id) VALUES (a.id)",
    ),
    statement(
        "MERGE that deletes from a granted table",
        "MERGE INTO {lent}.places p USING accounts a ON a.id = p.id WHEN MATCHED THEN DELETE",
    ),
    statement(
        "a CTE that deletes from a granted table",
        "WITH d AS (DELETE FROM {lent}.places RETURNING id) SELECT id FROM d",
    ),
    statement(
        "a CTE that is not used and updates a granted table",
        "WITH d AS (UPDATE {lent}.places SET name = 'mine') SELECT 1",
    ),
    statement(
        "a granted table, read and written",
        "UPDATE {lent}.places SET name = 'mine' FROM (SELECT id FROM {lent}.places) q",
    ),
    statement("FOR UPDATE of a granted table", "SELECT id FROM {lent}.places FOR UPDATE"),
    statement("FOR KEY SHARE of a granted table", "SELECT id FROM {lent}.places FOR KEY SHARE"),
    statement(
        "FOR SHARE of a granted table beside its own",
        "SELECT p.id FROM accounts a JOIN {lent}.places p ON p.id = a.id FOR SHARE OF p",
    ),
    statement(
        "FOR UPDATE around a subquery on a granted table",
        "SELECT id FROM (SELECT id FROM {lent}.places) q FOR UPDATE",
    ),
    statement(
        "FOR UPDATE in a sublink on a granted table",
        "SELECT id FROM accounts WHERE id IN (SELECT id FROM {lent}.places FOR UPDATE)",
    ),
    statement("a partition of a granted table", "SELECT id FROM {lent}.places_1"),
    statement("DELETE from a partition of a granted table", "DELETE FROM {lent}.places_1"),
    statement("a granted table's sequence", "SELECT last_value FROM {lent}.places_n_seq"),
    statement("nextval of a granted table's sequence", "SELECT nextval('{lent}.places_n_seq')"),
    statement("a table beside a granted one", "SELECT s FROM {lent}.hidden"),
    statement(
        "a table beside a granted one, joined with it",
        "SELECT h.s FROM {lent}.places p JOIN {lent}.hidden h ON h.id = p.id",
    ),
    statement("a row of a granted table as a value", "SELECT p::text FROM {lent}.places p")
        .two_cannot(READS),
    statement(
        "a sample of a granted table",
        "SELECT id FROM {lent}.places TABLESAMPLE system (10)",
    )
    .two_cannot(READS),
    statement("which partition a granted row is in", "SELECT tableoid::int8 FROM {lent}.places")
        .two_cannot(READS),
    statement("another function of a granted name", "SELECT {lent}.measure('x'::text)"),
    statement("a SECURITY DEFINER function beside", "SELECT {lent}.powerful()"),
    statement("an operator of a granted function", "SELECT OPERATOR({lent}.<~>) 1::bigint")
        .two_cannot(CALLS),
    statement("TRUNCATE of a granted table", "TRUNCATE {lent}.places"),
    statement("LOCK of a granted table", "LOCK TABLE {lent}.places IN ACCESS SHARE MODE")
        .two_cannot(
            "whoever may read a table may lock it so, for as long as the transaction lasts",
        ),
    statement("giving on what is granted", "GRANT SELECT ON {lent}.places TO PUBLIC")
        .two_cannot("PostgreSQL grants nothing, and says so in a warning only"),
    migration("TRUNCATE of a granted table by migration", "TRUNCATE {lent}.places"),
    migration(
        "a reference to a granted table",
        "CREATE TABLE x (a bigint REFERENCES {lent}.places (id))",
    ),
    migration(
        "a reference to a granted table, later",
        "ALTER TABLE accounts ADD FOREIGN KEY (id) REFERENCES {lent}.places (id) NOT VALID",
    ),
    migration("a view of a granted table", "CREATE VIEW v AS SELECT name FROM {lent}.places"),
    migration("LIKE of a granted table", "CREATE TABLE x (LIKE {lent}.places)").one_cannot(OUTSIDE),
    migration("a child of a granted table", "CREATE TABLE x () INHERITS ({lent}.hidden)"),
    migration(
        "a partition for a granted table",
        "CREATE TABLE x PARTITION OF {lent}.places FOR VALUES FROM (100) TO (200)",
    ),
    migration("ALTER of a granted table", "ALTER TABLE {lent}.places ADD x int")
        .one_cannot(OUTSIDE),
    migration("an index on a granted table", "CREATE INDEX x ON {lent}.places (name)")
        .one_cannot(OUTSIDE),
    migration("DROP of a granted table", "DROP TABLE {lent}.places").one_cannot(OUTSIDE),
    migration("a remark on a granted table", "COMMENT ON TABLE {lent}.places IS 'mine'")
        .one_cannot(OUTSIDE),
    migration("a table made beside a granted one", "CREATE TABLE {lent}.x (a int)"),
    migration(
        "a granted function in a check",
        "CREATE TABLE x (a bigint CHECK ({lent}.measure(a) > 0))",
    ),
    migration(
        "a granted function in a default for rows that are there",
        "ALTER TABLE accounts ADD x bigint DEFAULT {lent}.measure(1)",
    ),
    migration("a granted function in an index", "CREATE INDEX x ON accounts ({lent}.measure(id))"),
];
