-- The rights that an operator gave on a plugin's schema, as statements that give them on its shadow,
-- where it has the same relations. Binds: schema, its shadow, the plugin's roles.
WITH home AS (SELECT oid, nspacl FROM pg_catalog.pg_namespace WHERE nspname = $1),
     rel AS (
         SELECT c.oid, c.relname, c.relkind, c.relacl
         FROM pg_catalog.pg_class c JOIN home ON home.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'S')
           AND EXISTS (SELECT FROM pg_catalog.pg_class s
                       JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
                       WHERE n.nspname = $2 AND s.relname = c.relname AND s.relkind = c.relkind)
     ),
     given AS (
         SELECT a.privilege_type AS what, pg_catalog.format('SCHEMA %I', $2) AS place, a.grantee,
                a.is_grantable
         FROM home, LATERAL pg_catalog.aclexplode(home.nspacl) a
         UNION ALL
         SELECT a.privilege_type,
                pg_catalog.format(CASE rel.relkind WHEN 'S' THEN 'SEQUENCE %I.%I' ELSE 'TABLE %I.%I' END,
                                  $2, rel.relname),
                a.grantee, a.is_grantable
         FROM rel, LATERAL pg_catalog.aclexplode(rel.relacl) a
         UNION ALL
         SELECT pg_catalog.format('%s (%I)', a.privilege_type, t.attname),
                pg_catalog.format('TABLE %I.%I', $2, rel.relname), a.grantee, a.is_grantable
         FROM rel JOIN pg_catalog.pg_attribute t ON t.attrelid = rel.oid,
              LATERAL pg_catalog.aclexplode(t.attacl) a
         WHERE NOT t.attisdropped
     )
SELECT pg_catalog.format('GRANT %s ON %s TO %s%s', g.what, g.place,
           coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC'),
           CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM given g
LEFT JOIN pg_catalog.pg_roles r ON r.oid = g.grantee
WHERE r.rolname IS NULL AND g.grantee = 0 OR r.rolname <> ALL ($3::text[])
