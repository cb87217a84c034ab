-- What a database and its server hold that an attack could have made or changed, a line each.
SELECT 'schema ' || nspname FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg\_%temp\_%'
UNION ALL
SELECT 'relation ' || c.oid::pg_catalog.regclass::text || ' ' || c.relowner::pg_catalog.regrole::text
       || coalesce(c.relacl::text, '')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_(toast_)?temp_'
UNION ALL
SELECT 'function ' || p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p
UNION ALL
SELECT 'role ' || rolname || coalesce(rolconfig::text, '') || rolsuper FROM pg_catalog.pg_roles
WHERE rolname LIKE '%attack%'
  -- Others' attacks on their databases of the same server are none of these.
  AND (rolname NOT LIKE 'ef\_________\_attack%'
       OR substr(rolname, 4, 8) = left(encode(sha256(convert_to(current_database(), 'UTF8')), 'hex'), 8))
UNION ALL
SELECT 'setting ' || s.setdatabase || coalesce(s.setconfig::text, '') FROM pg_catalog.pg_db_role_setting s
UNION ALL
SELECT 'large object ' || oid FROM pg_catalog.pg_largeobject_metadata
UNION ALL
SELECT 'sequence ' || last_value || is_called FROM eventfabric.events_global_position_seq
UNION ALL
SELECT 'plugin ' || schema_name FROM eventfabric.plugin_schemas
UNION ALL
SELECT 'statement ' || statement FROM eventfabric.plugin_statements
UNION ALL
SELECT 'grant ' || g::text FROM eventfabric.plugin_grants g
UNION ALL
SELECT 'migration ' || m::text FROM eventfabric.schema_migrations m
UNION ALL
SELECT 'advisory lock ' || objid FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND database = (
    SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY 1
