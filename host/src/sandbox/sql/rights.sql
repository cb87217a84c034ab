-- What the roles of a plugin may do and should not, and what they should and may not: the statements that
-- mend it. Binds: schema, owner, role of statements, reader, ids of relations and of functions that are
-- granted.
WITH role AS (
    -- One that is not made yet has what everybody has (0).
    SELECT coalesce(r.oid, 0) AS oid, m.name AS rolname, m.part
    FROM (VALUES ($2::text, 'owner'), ($3, 'exec'), ($4, 'reader')) AS m (name, part)
    LEFT JOIN pg_catalog.pg_roles r ON r.rolname = m.name
),
home AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1),
users (part) AS (VALUES ('exec'), ('reader')),
-- Owners need nothing: what is in the schema is theirs.
wanted (class, id, what, part) AS (
    SELECT 'schema', home.oid, 'USAGE', part FROM home, users
    UNION
    SELECT 'table', c.oid, r.what, r.part
    FROM pg_catalog.pg_class c
    JOIN home ON home.oid = c.relnamespace
    JOIN (VALUES ('exec', 'SELECT'), ('exec', 'INSERT'), ('exec', 'UPDATE'), ('exec', 'DELETE'),
                 ('reader', 'SELECT')) AS r (part, what) ON true
    WHERE c.relkind IN ('r', 'p', 'v')
    UNION
    SELECT 'sequence', c.oid, 'USAGE', 'exec'
    FROM pg_catalog.pg_class c JOIN home ON home.oid = c.relnamespace
    WHERE c.relkind = 'S'
    UNION
    SELECT v.class, v.id, v.what, part
    FROM pg_catalog.unnest($5::bigint[]) AS g (id)
    JOIN pg_catalog.pg_class c ON c.oid = g.id::oid
    CROSS JOIN LATERAL (VALUES ('table', c.oid, 'SELECT'), ('schema', c.relnamespace, 'USAGE'))
        AS v (class, id, what)
    CROSS JOIN users
    UNION
    SELECT v.class, v.id, v.what, part
    FROM pg_catalog.unnest($6::bigint[]) AS g (id)
    JOIN pg_catalog.pg_proc p ON p.oid = g.id::oid
    CROSS JOIN LATERAL (VALUES ('function', p.oid, 'EXECUTE'), ('schema', p.pronamespace, 'USAGE'))
        AS v (class, id, what)
    CROSS JOIN users
),
actual (class, id, what, role, grantable) AS (
    SELECT 'schema', n.oid, a.privilege_type, a.grantee, a.is_grantable
    FROM pg_catalog.pg_namespace n, LATERAL pg_catalog.aclexplode(n.nspacl) a
    WHERE n.nspacl IS NOT NULL AND a.grantee <> n.nspowner
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.oid, a.privilege_type,
           a.grantee, a.is_grantable
    FROM pg_catalog.pg_class c, LATERAL pg_catalog.aclexplode(c.relacl) a
    WHERE c.relacl IS NOT NULL AND a.grantee <> c.relowner
    UNION ALL
    -- One column, or more.
    SELECT 'table', c.oid, pg_catalog.format('%s (%I)', a.privilege_type, t.attname), a.grantee,
           a.is_grantable
    FROM pg_catalog.pg_attribute t
    JOIN pg_catalog.pg_class c ON c.oid = t.attrelid,
         LATERAL pg_catalog.aclexplode(t.attacl) a
    WHERE t.attacl IS NOT NULL AND a.grantee <> c.relowner
    UNION ALL
    SELECT 'function', p.oid, a.privilege_type, a.grantee, a.is_grantable
    FROM pg_catalog.pg_proc p, LATERAL pg_catalog.aclexplode(p.proacl) a
    WHERE p.proacl IS NOT NULL AND a.grantee <> p.proowner
    UNION ALL
    SELECT 'database', d.oid, a.privilege_type, a.grantee, a.is_grantable
    FROM pg_catalog.pg_database d, LATERAL pg_catalog.aclexplode(d.datacl) a
    WHERE d.datname = pg_catalog.current_database()
),
differs (missing, class, id, what, option, role, rolname) AS (
    SELECT true, w.class, w.id, w.what, '', role.oid, role.rolname
    FROM wanted w JOIN role USING (part)
    WHERE NOT EXISTS (SELECT FROM actual a
                      WHERE (a.class, a.id, a.what, a.role) = (w.class, w.id, w.what, role.oid))
    UNION ALL
    SELECT DISTINCT false, a.class, a.id, a.what,
           CASE WHEN w.what IS NULL THEN '' ELSE 'GRANT OPTION FOR ' END, role.oid, role.rolname
    FROM actual a
    JOIN role ON role.oid = a.role AND role.oid <> 0
    LEFT JOIN wanted w ON (w.class, w.id, w.what, w.part) = (a.class, a.id, a.what, role.part)
    WHERE w.what IS NULL OR a.grantable
),
placed AS (
    SELECT d.*,
           CASE d.class
               WHEN 'schema' THEN (SELECT pg_catalog.format('SCHEMA %I', n.nspname)
                                   FROM pg_catalog.pg_namespace n WHERE n.oid = d.id)
               WHEN 'database' THEN pg_catalog.format('DATABASE %I', pg_catalog.current_database())
               WHEN 'function' THEN
                   (SELECT pg_catalog.format('FUNCTION %I.%I(%s)', n.nspname, p.proname,
                                             pg_catalog.oidvectortypes(p.proargtypes))
                    FROM pg_catalog.pg_proc p
                    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = d.id)
               ELSE (SELECT pg_catalog.format('%s %I.%I', pg_catalog.upper(d.class), n.nspname,
                                              c.relname)
                     FROM pg_catalog.pg_class c
                     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = d.id)
           END AS place,
           CASE WHEN NOT d.missing THEN true
                WHEN d.class = 'schema'
                    THEN pg_catalog.has_schema_privilege(d.id, d.what || ' WITH GRANT OPTION')
                WHEN d.class = 'function'
                    THEN pg_catalog.has_function_privilege(d.id, d.what || ' WITH GRANT OPTION')
                WHEN d.class = 'sequence'
                    THEN pg_catalog.has_sequence_privilege(d.id, d.what || ' WITH GRANT OPTION')
                ELSE pg_catalog.has_table_privilege(d.id, d.what || ' WITH GRANT OPTION')
           END AS possible
    FROM differs d
)
SELECT missing, possible,
       CASE WHEN missing THEN pg_catalog.format('GRANT %s ON %s TO %I', what, place, rolname)
            ELSE pg_catalog.format('REVOKE %s%s ON %s FROM %I', option, what, place, rolname)
       END AS statement,
       pg_catalog.format('GRANT %s ON %s TO %I WITH GRANT OPTION', what, place, current_user) AS plea
FROM placed
-- What everybody may, the role may, too.
WHERE possible AND role <> 0
   OR NOT possible AND NOT CASE class
              WHEN 'schema' THEN pg_catalog.has_schema_privilege(role, id, what)
              WHEN 'function' THEN pg_catalog.has_function_privilege(role, id, what)
              WHEN 'sequence' THEN pg_catalog.has_sequence_privilege(role, id, what)
              ELSE pg_catalog.has_table_privilege(role, id, what)
          END
ORDER BY missing DESC, place, what, rolname
