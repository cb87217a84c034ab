//! To change what is not the plugin's.

use super::{Attack, statement};

pub(super) const ATTACKS: &[Attack] = &[
    statement("deleting the log", "DELETE FROM eventfabric.outbox WHERE id = 0"),
    statement(
        "adding to the outbox",
        "INSERT INTO eventfabric.outbox (global_position) SELECT 1 WHERE false",
    ),
    statement("changing events", "UPDATE eventfabric.events SET payload = '{}' WHERE false"),
    statement(
        "checkpoints",
        "UPDATE eventfabric.projection_checkpoints SET last_global_position = 0",
    ),
    statement("dead letters", "DELETE FROM eventfabric.outbox_dead_letters"),
    statement("retries", "DELETE FROM eventfabric.projection_retries"),
    statement("parked events", "DELETE FROM eventfabric.projection_parked"),
    statement("making retries of parked events", "SELECT eventfabric.unpark('{}')"),
    statement("snapshots of aggregates", "DELETE FROM eventfabric.snapshots"),
    statement("the list of migrations", "DELETE FROM eventfabric.schema_migrations"),
    statement(
        "the registry of plugins",
        "UPDATE eventfabric.plugin_schemas SET schema_name = 'x' WHERE false",
    ),
    statement("the manifest of statements", "DELETE FROM eventfabric.plugin_statements"),
    statement("tenants in the directory", "DELETE FROM eventfabric.tenants"),
    statement("dismissals", "DELETE FROM eventfabric.dismissals"),
    statement("nextval of the log", "SELECT nextval('eventfabric.events_global_position_seq')"),
    statement("setval of the log", "SELECT setval('eventfabric.events_global_position_seq', 1)"),
    statement("setval of another plugin's", "SELECT setval('{other}.turns', 1)"),
    statement("nextval of its own", "SELECT nextval('lines_n_seq')")
        .two_cannot("USAGE on its own sequences is what its defaults need"),
    statement("another plugin's rows", "DELETE FROM {other}.secrets"),
    statement(
        "another plugin's rows by MERGE",
        "MERGE INTO {other}.secrets s USING accounts a ON a.id = s.id WHEN MATCHED THEN DELETE",
    ),
    statement("another plugin's rows by its view", "DELETE FROM {other}.whispers"),
    statement(
        "a data-modifying CTE",
        "WITH d AS (DELETE FROM eventfabric.outbox WHERE false RETURNING id) SELECT id FROM d",
    ),
    statement(
        "a data-modifying CTE that is not used",
        "WITH d AS (DELETE FROM {other}.secrets) SELECT 1",
    ),
    statement(
        "MERGE into the outbox",
        "MERGE INTO eventfabric.outbox o USING accounts a ON a.id = o.id WHEN MATCHED THEN DELETE",
    ),
    statement(
        "MERGE that reads the log",
        "MERGE INTO accounts a USING eventfabric.events e ON e.global_position = a.id WHEN MATCHED THEN DO NOTHING",
    ),
    statement(
        "INSERT from the log",
        "INSERT INTO accounts (id) SELECT global_position FROM eventfabric.events",
    ),
    statement(
        "UPDATE FROM the log",
        "UPDATE accounts a SET balance = 1 FROM eventfabric.events e WHERE e.global_position = a.id",
    ),
    statement(
        "DELETE USING the log",
        "DELETE FROM accounts a USING eventfabric.events e WHERE e.global_position = a.id",
    ),
    statement("row locks on the outbox", "SELECT id FROM eventfabric.outbox FOR UPDATE"),
    statement("TRUNCATE of the outbox", "TRUNCATE eventfabric.outbox"),
    statement("TRUNCATE of its own table", "TRUNCATE accounts CASCADE"),
    statement("ALTER of its own table", "ALTER TABLE accounts ADD COLUMN x int"),
    statement("DROP of its own table", "DROP TABLE lines"),
    statement("CREATE in its own schema", "CREATE TABLE x (a int)"),
    statement("CREATE in public", "CREATE TABLE public.x (a int)"),
    statement("CREATE in the host's schema", "CREATE TABLE eventfabric.x (a int)"),
    statement("a schema", "CREATE SCHEMA x"),
    statement(
        "a function among the host's calls",
        "CREATE FUNCTION eventfabric_calls.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    statement(
        "a function of its own",
        "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    statement(
        "a trigger",
        "CREATE TRIGGER t AFTER INSERT ON eventfabric.events EXECUTE FUNCTION eventfabric.guard_events()",
    ),
    statement(
        "a rule",
        "CREATE RULE r AS ON INSERT TO accounts DO ALSO DELETE FROM eventfabric.outbox",
    ),
    statement("GRANT", "GRANT ALL ON accounts TO PUBLIC")
        .two_cannot("PostgreSQL grants nothing, and says so in a warning only"),
    statement("COMMENT", "COMMENT ON TABLE accounts IS 'mine'"),
    statement("SECURITY LABEL", "SECURITY LABEL ON TABLE accounts IS 'x'")
        .in_vain("no provider is loaded"),
    statement("VACUUM", "VACUUM accounts").in_vain("a transaction block is open"),
    statement("ANALYZE", "ANALYZE {other}.secrets"),
    statement("a large object", "SELECT lo_create(0)")
        .two_cannot("PUBLIC may make large objects until an operator revokes it"),
    statement("lo_export", "SELECT lo_export(1, '/tmp/x')")
        .in_vain("there is no such large object"),
];
