-- Objects that a migration must not leave behind. Binds: schema, owner's role.
WITH home AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1),
     me AS (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $2)
SELECT 'the function' AS kind, p.proname::text AS name
FROM pg_catalog.pg_proc p JOIN home ON home.oid = p.pronamespace
UNION ALL
SELECT 'the trigger', t.tgname::text
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN home ON home.oid = c.relnamespace
WHERE NOT t.tgisinternal
UNION ALL
SELECT 'the rule', r.rulename::text
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
JOIN home ON home.oid = c.relnamespace
WHERE r.rulename <> '_RETURN'
UNION ALL
SELECT 'the policy', p.polname::text
FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN home ON home.oid = c.relnamespace
UNION ALL
SELECT 'the relation of another kind', c.relname::text
FROM pg_catalog.pg_class c JOIN home ON home.oid = c.relnamespace
WHERE c.relkind NOT IN ('r', 'p', 'v', 'S', 'i', 'I')
UNION ALL
SELECT 'the type', t.typname::text
FROM pg_catalog.pg_type t JOIN home ON home.oid = t.typnamespace
WHERE t.typtype NOT IN ('e', 'c') AND NOT (t.typtype = 'b' AND t.typelem <> 0 AND t.typcategory = 'A')
UNION ALL
-- Owned by the plugin, and outside of its schema.
SELECT 'the object outside of the schema',
       pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_catalog.pg_shdepend d JOIN me ON me.oid = d.refobjid
CROSS JOIN home
LEFT JOIN pg_catalog.pg_class c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_type t ON t.oid = d.objid AND d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_namespace f ON f.oid = p.pronamespace
WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
  AND d.deptype = 'o'
  AND d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND coalesce(
        c.relnamespace = home.oid, t.typnamespace = home.oid,
        -- The function that runs the migration itself.
        f.nspname = 'eventfabric_calls' AND p.proname LIKE 'm\_%',
        d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = home.oid
      ) IS NOT TRUE
UNION ALL
-- Defaults that use somebody else's sequences.
SELECT 'the use of', o.nspname::text || '.' || c.relname::text
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_attrdef a ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND a.oid = d.objid
JOIN pg_catalog.pg_class mine ON mine.oid = a.adrelid
JOIN home ON home.oid = mine.relnamespace
JOIN pg_catalog.pg_class c ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.refobjid
JOIN pg_catalog.pg_namespace o ON o.oid = c.relnamespace
WHERE c.relnamespace <> home.oid
UNION ALL
-- References to other tables: they would lock rows there, and tell which there are.
SELECT 'the reference to', o.nspname::text || '.' || c.relname::text
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class mine ON mine.oid = k.conrelid
JOIN home ON home.oid = mine.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
JOIN pg_catalog.pg_namespace o ON o.oid = c.relnamespace
WHERE c.relnamespace <> home.oid
UNION ALL
-- Children of other tables.
SELECT 'the child of', o.nspname::text || '.' || c.relname::text
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class mine ON mine.oid = i.inhrelid
JOIN home ON home.oid = mine.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = i.inhparent
JOIN pg_catalog.pg_namespace o ON o.oid = c.relnamespace
WHERE c.relnamespace <> home.oid
UNION ALL
-- Columns of types that look into the catalogue (the list of policy.rs), or that hide another
-- schema's expressions: domains, and rows of tables.
SELECT 'the column of type ' || t.typname, c.relname || '.' || a.attname
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN home ON home.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid
WHERE c.relkind IN ('r', 'p', 'v')
  AND a.attnum > 0
  AND NOT a.attisdropped
  AND (coalesce(e.oid, t.oid)
           IN (24, 2202, 2203, 2204, 2205, 2206, 4096, 4089, 4191, 3769, 1033)
       OR t.typnamespace <> home.oid
          AND (t.oid >= 16384
               OR t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace
               OR coalesce(e.typtype, t.typtype) IN ('c', 'd')))
