//! To leave something behind by a migration.

use super::{Attack, grown_migration, migration};

const OWNER: &str =
    "it is made in the schema that the role owns, and has no more rights than the role";
const TREE: &str =
    "an expression has no rights of its own; it runs as the role that writes the row";
const PUBLIC: &str = "PUBLIC may create it, or use it, until an operator revokes it";
const MANY: &str = "how many tables there are, and locks, is the host's limit";
const OUTSIDE: &str = "the judge reads text and catalogue, and the host's own role may do it: only \
                       the role that runs migrations may not";

/// The same for many numbers.
fn many(sql: &str) -> String {
    (0..400).map(|n| sql.replace("{n}", &n.to_string())).collect::<Vec<_>>().join("; ")
}

fn a_thousand_columns() -> String {
    let columns: Vec<String> = (0..1601).map(|n| format!("c{n} int")).collect();
    format!("CREATE TABLE wide ({})", columns.join(", "))
}

pub(super) const ATTACKS: &[Attack] = &[
    migration("CREATE EXTENSION", "CREATE EXTENSION plpgsql_check").in_vain("the server may not have the extension"),
    migration("CREATE LANGUAGE", "CREATE LANGUAGE plperlu").in_vain("the server may not have it"),
    migration("CREATE EVENT TRIGGER", "CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION eventfabric.guard_events()")
        .in_vain("the function is of another type"),
    migration("CREATE FOREIGN DATA WRAPPER", "CREATE FOREIGN DATA WRAPPER x"),
    migration("CREATE FOREIGN TABLE", "CREATE FOREIGN TABLE x (a int) SERVER y").in_vain("there is no such server"),
    migration("CREATE PUBLICATION", "CREATE PUBLICATION p FOR TABLE eventfabric.events"),
    migration("CREATE SUBSCRIPTION", "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)"),
    migration("a SECURITY DEFINER function", "CREATE FUNCTION x() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'").two_cannot(OWNER),
    migration("a function", "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'").two_cannot(OWNER),
    migration("a function in C", "CREATE FUNCTION x(cstring) RETURNS int LANGUAGE internal AS 'int4in'"),
    migration("a procedure", "CREATE PROCEDURE x() LANGUAGE sql AS 'SELECT 1'").two_cannot(OWNER),
    migration("an aggregate", "CREATE AGGREGATE x (int) (SFUNC = int4pl, STYPE = int)").two_cannot(OWNER),
    migration("a trigger by migration", "CREATE FUNCTION x() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t AFTER INSERT ON accounts EXECUTE FUNCTION x()").two_cannot(OWNER),
    migration("a trigger on the log", "CREATE TRIGGER t AFTER INSERT ON eventfabric.events EXECUTE FUNCTION eventfabric.guard_events()"),
    migration("a rule by migration", "CREATE RULE r AS ON INSERT TO accounts DO ALSO UPDATE accounts SET balance = 0").two_cannot(OWNER),
    migration("a policy", "CREATE POLICY p ON accounts").two_cannot(OWNER),
    migration("ALTER OWNER to the host", "ALTER TABLE accounts OWNER TO {host}").one_cannot(OUTSIDE),
    migration("ALTER SCHEMA OWNER", "ALTER SCHEMA {own} OWNER TO {host}"),
    migration("GRANT by migration", "GRANT ALL ON accounts TO PUBLIC").two_cannot("an owner may give what it owns away"),
    migration("default privileges", "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC").two_cannot("an owner may give what it owns away"),
    migration("COMMIT in a migration", "COMMIT"),
    migration("RESET ROLE in a migration", "RESET ROLE"),
    migration("DO in a migration", "DO $$ BEGIN RESET ROLE; END $$"),
    migration("time-outs by SET in a migration", "SET statement_timeout = 0").two_cannot("any role may; they are set again before each statement"),
    migration("a temporary table by migration", "CREATE TEMPORARY TABLE events (a int)").two_cannot(PUBLIC),
    migration("a temporary table by its schema", "CREATE TABLE pg_temp.events (a int)").two_cannot(PUBLIC),
    migration("a table in public", "CREATE TABLE public.x (a int)"),
    migration("a table in the host's schema", "CREATE TABLE eventfabric.x (a int)"),
    migration("a table among the host's calls", "CREATE TABLE eventfabric_calls.x (a int)"),
    migration("a table in another plugin's schema", "CREATE TABLE {other}.x (a int)"),
    migration("DROP of the outbox", "DROP TABLE eventfabric.outbox CASCADE").one_cannot(OUTSIDE),
    migration("ALTER of the log", "ALTER TABLE eventfabric.outbox ADD x int").one_cannot(OUTSIDE),
    migration("an index on the log", "CREATE INDEX x ON eventfabric.outbox (id)").one_cannot(OUTSIDE),
    migration("DROP of another plugin's table", "DROP TABLE {other}.secrets CASCADE").one_cannot(OUTSIDE),
    migration("a reference to another plugin's table", "CREATE TABLE x (a bigint REFERENCES {other}.secrets)"),
    migration("a reference to the log", "CREATE TABLE x (a bigint REFERENCES eventfabric.events)"),
    migration("a partition of another plugin's", "CREATE TABLE x PARTITION OF {other}.secrets FOR VALUES IN (1)").in_vain("it is not partitioned"),
    migration("a child of the log", "CREATE TABLE x () INHERITS (eventfabric.outbox)"),
    migration("a parent of the log", "ALTER TABLE eventfabric.outbox INHERIT accounts").in_vain("the columns differ"),
    migration("LIKE of the log", "CREATE TABLE x (LIKE eventfabric.outbox)").one_cannot(OUTSIDE),
    migration("moving a table into another schema", "ALTER TABLE lines SET SCHEMA public").one_cannot(OUTSIDE),
    migration("a view of the log", "CREATE VIEW v AS SELECT payload FROM eventfabric.events"),
    migration("a view of another plugin's table", "CREATE VIEW v AS SELECT s FROM {other}.secrets"),
    migration("a view of the catalogue", "CREATE VIEW v AS SELECT rolname FROM pg_roles").two_cannot(TREE),
    migration("a recursive view of the log", "CREATE RECURSIVE VIEW v (a) AS SELECT global_position FROM eventfabric.events"),
    migration("a materialised view", "CREATE MATERIALIZED VIEW v AS SELECT 1 AS a").two_cannot(OWNER),
    migration("CREATE TABLE AS", "CREATE TABLE x AS SELECT 1 AS a").two_cannot(OWNER),
    migration("the clock in a default", "CREATE TABLE x (a timestamptz DEFAULT now())").two_cannot(TREE),
    migration("chance in a default", "CREATE TABLE x (a uuid DEFAULT gen_random_uuid())").two_cannot(TREE),
    migration("set_config in a default", "CREATE TABLE x (a text DEFAULT set_config('statement_timeout', '0', true))").two_cannot(TREE),
    migration("the log's sequence in a default", "CREATE TABLE x (a bigint DEFAULT nextval('eventfabric.events_global_position_seq'))"),
    migration("a computed sequence in a default", "CREATE TABLE x (a bigint DEFAULT nextval(1260::oid::regclass))").two_cannot(TREE),
    migration("a catalogue look-up in a default", "CREATE TABLE x (a text DEFAULT (1260::oid::regclass)::text)").two_cannot(TREE),
    migration("a setting in a check", "CREATE TABLE x (a text CHECK (a <> current_setting('search_path')))").two_cannot(TREE),
    migration("an advisory lock in a check", "CREATE TABLE x (a bigint CHECK (pg_try_advisory_lock(a)))").two_cannot(TREE),
    migration("a look-up in a generated column", "CREATE TABLE x (a bigint, b text GENERATED ALWAYS AS (a::int4::text || pg_size_pretty(a)) STORED)").two_cannot(TREE),
    migration("a look-up in an index", "CREATE INDEX x ON accounts (pg_size_pretty(balance))").two_cannot(TREE),
    migration("a look-up in an index's condition", "CREATE INDEX x ON accounts (id) WHERE pg_size_pretty(balance) = ''").two_cannot(TREE),
    migration("a look-up in a partition key", "CREATE TABLE x (a bigint) PARTITION BY LIST (pg_size_pretty(a))").two_cannot(TREE),
    migration("a column that looks into the catalogue", "CREATE TABLE x (a regclass)").two_cannot(TREE),
    migration("an array that looks into the catalogue", "CREATE TABLE x (a regtype[])").two_cannot(TREE),
    migration("a column of a row of the catalogue", "CREATE TABLE x (a pg_catalog.pg_class)").two_cannot(TREE),
    migration("a column of a row of the log", "CREATE TABLE x (a eventfabric.events)"),
    migration("a domain by migration", "CREATE DOMAIN d AS int CHECK (value > 0)").two_cannot(OWNER),
    migration("a type with functions", "CREATE TYPE x"),
    migration("a composite type", "CREATE TYPE x AS (a int)").two_cannot(OWNER),
    migration("a range type", "CREATE TYPE x AS RANGE (SUBTYPE = int4)").two_cannot(OWNER),
    migration("an operator", "CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)").two_cannot(OWNER),
    migration("an operator class", "CREATE OPERATOR CLASS x FOR TYPE int USING btree AS STORAGE int"),
    migration("a cast", "CREATE CAST (text AS int) WITH INOUT AS IMPLICIT"),
    migration("a cast of its own type", "CREATE CAST (mood AS text) WITH INOUT AS IMPLICIT").two_cannot("an owner of a type may; only that type is concerned"),
    migration("a collation", "CREATE COLLATION x FROM \"C\"").two_cannot(OWNER),
    migration("a conversion", "CREATE CONVERSION x FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8").two_cannot(OWNER),
    migration("a text search configuration", "CREATE TEXT SEARCH CONFIGURATION x (PARSER = default)").two_cannot(OWNER),
    migration("statistics objects", "CREATE STATISTICS x ON id, balance FROM accounts").two_cannot(OWNER),
    migration("a tablespace", "CREATE TABLE x (a int) TABLESPACE pg_global").in_vain("only the catalogue may be there"),
    migration("a foreign table's place", "ALTER TABLE accounts SET TABLESPACE pg_global").in_vain("only the catalogue may be there"),
    migration("a sleep in USING", "ALTER TABLE accounts ALTER owner TYPE text USING pg_sleep(0.01)::text").two_cannot("no right guards sleep; the limit on time ends it"),
    migration("a sleep in a default for rows that are there", "ALTER TABLE accounts ADD x text DEFAULT pg_sleep(0.01)::text").two_cannot("no right guards sleep; the limit on time ends it"),
    migration("a sleep in a partition's bounds", "CREATE TABLE x (a text) PARTITION BY LIST (a); CREATE TABLE y PARTITION OF x FOR VALUES IN ((pg_sleep(0.01)::text))").two_cannot("no right guards sleep; the limit on time ends it"),
    migration("rows by migration", "INSERT INTO accounts (id) VALUES (1)").two_cannot(OWNER),
    migration("a lock on a shared table", "LOCK TABLE eventfabric.outbox IN SHARE MODE"),
    migration("dropping its own schema", "DROP SCHEMA {own} CASCADE").two_cannot("an owner may drop what it owns"),
    migration("REINDEX", "REINDEX TABLE eventfabric.outbox"),
    migration("CLUSTER", "CLUSTER accounts USING accounts_pkey").two_cannot(OWNER),
    migration("an index made concurrently", "CREATE INDEX CONCURRENTLY x ON accounts (id)").in_vain("a transaction block is open"),
    migration("disabled constraints", "ALTER TABLE accounts DISABLE TRIGGER ALL"),
    grown_migration("tables without end", || many("CREATE TABLE t{n} (a int)")).two_cannot(MANY),
    grown_migration("partitions without end", || {
        format!("CREATE TABLE p (a int) PARTITION BY LIST (a); {}", many("CREATE TABLE p{n} PARTITION OF p FOR VALUES IN ({n})"))
    })
    .two_cannot(MANY),
    grown_migration("locks without end", || many("CREATE TABLE t{n} (a int, b text); DROP TABLE t{n}")).two_cannot(MANY),
    grown_migration("a table of more columns than a table can have", a_thousand_columns),
];
