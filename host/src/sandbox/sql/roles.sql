-- In what the roles of a plugin differ from roles that can do nothing but what they are given: whose, what
-- it is, and what mends it. Binds: owner, role of statements, reader.
WITH wanted (name, part) AS (VALUES ($1::text, 'owner'), ($2, 'exec'), ($3, 'reader')),
     role AS (SELECT r.*, w.part FROM pg_catalog.pg_roles r JOIN wanted w ON w.name = r.rolname)
SELECT w.name AS role, 'it is not there' AS what,
       pg_catalog.format('CREATE ROLE %I NOLOGIN NOINHERIT; GRANT %1$I TO %I%s', w.name, current_user,
                         CASE WHEN pg_catalog.current_setting('server_version_num')::int4 >= 160000
                              THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END) AS statement
FROM wanted w WHERE NOT EXISTS (SELECT FROM role WHERE rolname = w.name)
UNION ALL
SELECT rolname, 'it is ' || a.what, pg_catalog.format('ALTER ROLE %I NO%s', rolname, a.what)
FROM role
CROSS JOIN LATERAL (VALUES (rolsuper, 'SUPERUSER'), (rolinherit, 'INHERIT'),
                           (rolcreaterole, 'CREATEROLE'), (rolcreatedb, 'CREATEDB'),
                           (rolcanlogin, 'LOGIN'), (rolreplication, 'REPLICATION'),
                           (rolbypassrls, 'BYPASSRLS')) AS a (has, what)
WHERE a.has
UNION ALL
SELECT rolname, 'it is a member of ' || g.name,
       pg_catalog.format('REVOKE %I FROM %I', g.name, rolname)
FROM role
JOIN pg_catalog.pg_auth_members m ON m.member = role.oid
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_userbyid(m.roleid)::text AS name) g
UNION ALL
-- Whoever is a member of a reader can read what it reads: that may be meant to be.
SELECT DISTINCT rolname, g.name || ' is a member of it',
       pg_catalog.format('REVOKE %I FROM %I', rolname, g.name)
FROM role
JOIN pg_catalog.pg_auth_members m ON m.roleid = role.oid
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_userbyid(m.member)::text AS name) g
WHERE part <> 'reader' AND g.name <> current_user
UNION ALL
SELECT rolname, 'it has settings of its own: ' || s.setconfig::text,
       pg_catalog.format('ALTER ROLE %I%s RESET ALL', rolname,
                         (SELECT pg_catalog.format(' IN DATABASE %I', d.datname)
                          FROM pg_catalog.pg_database d WHERE d.oid = s.setdatabase))
FROM role JOIN pg_catalog.pg_db_role_setting s ON s.setrole = role.oid
UNION ALL
-- What no other list knows: other databases, other kinds of things.
SELECT DISTINCT rolname,
       CASE WHEN d.dbid = 0 OR d.dbid = here.oid
            THEN 'it has rights on ' || pg_catalog.pg_describe_object(d.classid, d.objid, 0)
            ELSE 'it owns or may use something in the database '
                 || coalesce(other.datname, d.dbid::text) END,
       CASE WHEN d.dbid = 0 OR d.dbid = here.oid
            THEN pg_catalog.format('REVOKE ALL ON %s FROM %I',
                                   pg_catalog.pg_describe_object(d.classid, d.objid, 0), rolname)
            ELSE pg_catalog.format('DROP OWNED BY %I in the database %I', rolname, other.datname) END
FROM role
JOIN pg_catalog.pg_shdepend d
  ON d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.refobjid = role.oid
JOIN pg_catalog.pg_database here ON here.datname = pg_catalog.current_database()
LEFT JOIN pg_catalog.pg_database other ON other.oid = d.dbid
WHERE d.dbid NOT IN (0, here.oid)
   OR d.deptype = 'a'
      AND d.classid NOT IN ('pg_catalog.pg_namespace'::pg_catalog.regclass,
                            'pg_catalog.pg_class'::pg_catalog.regclass,
                            'pg_catalog.pg_proc'::pg_catalog.regclass,
                            'pg_catalog.pg_database'::pg_catalog.regclass,
                            -- A right to create or to grant a role is a membership.
                            'pg_catalog.pg_auth_members'::pg_catalog.regclass)
ORDER BY 1, 2
