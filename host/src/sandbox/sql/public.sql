-- What everybody may do here and nobody needs: what it is, whether PostgreSQL itself gives it, and what
-- takes it away.
SELECT 'everybody may make temporary tables' AS what, true AS usual,
       pg_catalog.format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', d.datname) AS statement
FROM pg_catalog.pg_database d,
     LATERAL pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
WHERE d.datname = pg_catalog.current_database() AND a.grantee = 0 AND a.privilege_type = 'TEMPORARY'
UNION ALL
SELECT 'everybody may create schemas', false,
       pg_catalog.format('REVOKE CREATE ON DATABASE %I FROM PUBLIC', d.datname)
FROM pg_catalog.pg_database d, LATERAL pg_catalog.aclexplode(d.datacl) a
WHERE d.datname = pg_catalog.current_database() AND a.grantee = 0 AND a.privilege_type = 'CREATE'
UNION ALL
SELECT 'everybody may create in the schema public', false, 'REVOKE CREATE ON SCHEMA public FROM PUBLIC'
FROM pg_catalog.pg_namespace n, LATERAL pg_catalog.aclexplode(n.nspacl) a
WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE'
UNION ALL
SELECT 'everybody may use the schema ' || n.nspname, false,
       pg_catalog.format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', n.nspname)
FROM pg_catalog.pg_namespace n, LATERAL pg_catalog.aclexplode(n.nspacl) a
WHERE n.nspname IN ('eventfabric', 'eventfabric_calls') AND a.grantee = 0
UNION
-- PostgreSQL keeps what its dangerous functions had when the server was made.
SELECT 'everybody may call ' || p.oid::pg_catalog.regprocedure::text, false,
       pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC',
                         p.oid::pg_catalog.regprocedure)
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_init_privs i
  ON i.objoid = p.oid AND i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass,
     LATERAL pg_catalog.aclexplode(p.proacl) a
WHERE a.grantee = 0
  AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(i.initprivs) was WHERE was.grantee = 0)
ORDER BY 1
