-- What the role of this connection may do.
SELECT r.rolname::text AS "role!", r.rolsuper AS "superuser!", r.rolcreaterole AS "creates_roles!",
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
           AS "creates_schemas!",
       pg_catalog.pg_has_role('pg_read_all_stats', 'MEMBER') AS "sees_sessions!"
FROM pg_catalog.pg_roles r
WHERE r.rolname = current_user
