-- What is granted to a plugin and is there: the kind of object, its id, and its name as an operator
-- gives it. Bind: plugin.
WITH grants AS (SELECT kind, target FROM eventfabric.plugin_grants WHERE plugin_name = $1),
     -- Nothing of these is anybody's to give.
     spaces AS (
         SELECT n.oid, n.nspname
         FROM pg_catalog.pg_namespace n
         LEFT JOIN eventfabric.plugin_schemas s ON s.schema_name = n.nspname
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'eventfabric',
                                 'eventfabric_calls')
           AND n.nspname NOT LIKE 'pg\_temp\_%'
           AND n.nspname NOT LIKE 'pg\_toast\_temp\_%'
           AND s.plugin_name IS DISTINCT FROM $1
     )
SELECT 'relation' AS what, c.oid::bigint AS id,
       pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
FROM grants g
JOIN spaces n ON true
JOIN pg_catalog.pg_class c
  ON c.relnamespace = n.oid
 AND c.relkind IN ('r', 'p', 'v', 'm')
 AND g.target IN (pg_catalog.format('%I.%I', n.nspname, c.relname),
                  pg_catalog.format('%I.*', n.nspname))
WHERE g.kind = 'read'
UNION
SELECT 'function', p.oid::bigint,
       pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                         pg_catalog.oidvectortypes(p.proargtypes))
FROM grants g
JOIN spaces n ON true
JOIN pg_catalog.pg_proc p
  ON p.pronamespace = n.oid
 -- None of PostgreSQL's own, and no procedure.
 AND p.oid >= 16384
 AND p.prokind <> 'p'
 AND g.target = pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                                  pg_catalog.oidvectortypes(p.proargtypes))
WHERE g.kind IN ('call', 'call-definer')
  AND (g.kind = 'call-definer' OR NOT p.prosecdef)
ORDER BY 1, 3
