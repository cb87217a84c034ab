-- What would be lost if a plugin's schema were replaced by another one: what the migrations did not make,
-- and what lives elsewhere and depends on it. Binds: schema, its shadow, what the migrations of the schema
-- make where they are not those of the shadow, as kind and name.
WITH home AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1),
     shadow AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $2),
     rel AS (
         SELECT c.oid, c.relname, c.relkind
         FROM pg_catalog.pg_class c JOIN home ON home.oid = c.relnamespace
     )
SELECT CASE rel.relkind WHEN 'i' THEN 'the index ' WHEN 'I' THEN 'the index '
                        WHEN 'v' THEN 'the view ' WHEN 'S' THEN 'the sequence '
                        ELSE 'the table ' END || rel.relname || ', which its migrations did not make'
FROM rel
WHERE rel.relkind <> 'c'
  AND rel.relkind::text || ' ' || rel.relname <> ALL ($3::text[])
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_class s JOIN shadow ON shadow.oid = s.relnamespace
                  WHERE s.relname = rel.relname AND s.relkind = rel.relkind)
UNION ALL
SELECT 'the trigger ' || t.tgname || ' of ' || rel.relname
FROM pg_catalog.pg_trigger t JOIN rel ON rel.oid = t.tgrelid
WHERE NOT t.tgisinternal
UNION ALL
SELECT 'the policy ' || p.polname || ' of ' || rel.relname
FROM pg_catalog.pg_policy p JOIN rel ON rel.oid = p.polrelid
UNION ALL
SELECT 'the place of ' || rel.relname || ' in the publication ' || p.pubname
FROM pg_catalog.pg_publication_rel r JOIN rel ON rel.oid = r.prrelid
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
UNION ALL
SELECT DISTINCT coalesce('the view ' || v.oid::pg_catalog.regclass::text,
                         'the ' || pg_catalog.pg_describe_object(d.classid, d.objid, 0))
FROM pg_catalog.pg_depend d
JOIN rel ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = rel.oid
CROSS JOIN home
LEFT JOIN pg_catalog.pg_rewrite w
       ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
LEFT JOIN pg_catalog.pg_class v ON v.oid = w.ev_class
LEFT JOIN pg_catalog.pg_class c
       ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
LEFT JOIN pg_catalog.pg_constraint k
       ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid
LEFT JOIN pg_catalog.pg_attrdef a
       ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND a.oid = d.objid
LEFT JOIN pg_catalog.pg_class ac ON ac.oid = a.adrelid
LEFT JOIN pg_catalog.pg_proc p
       ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
CROSS JOIN LATERAL (
    SELECT coalesce(v.relnamespace, c.relnamespace, k.connamespace, ac.relnamespace,
                    p.pronamespace) AS oid
) place
WHERE place.oid IS NOT NULL
  AND place.oid <> home.oid
  AND place.oid NOT IN (SELECT n.oid FROM pg_catalog.pg_namespace n
                        WHERE n.nspname IN ('eventfabric_calls', 'pg_toast'))
