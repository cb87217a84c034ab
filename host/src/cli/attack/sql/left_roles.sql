-- Roles of the plugins of attacks in this database, quoted.
SELECT DISTINCT pg_catalog.quote_ident(r.rolname)
FROM pg_catalog.pg_shdepend d
JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
  AND d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND r.rolname LIKE 'ef\_%\_attack\_%'
