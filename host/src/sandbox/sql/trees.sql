-- The expressions that live in a schema, as parse trees: what it is, whether it is a default, and
-- the tree. Bind: schema.
WITH rel AS (
    SELECT c.oid, c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1
)
SELECT CASE WHEN a.attgenerated = '' THEN 'the default of column ' ELSE 'the generated column ' END
           || rel.relname || '.' || a.attname,
       a.attgenerated = '', d.adbin::text
FROM pg_catalog.pg_attrdef d JOIN rel ON rel.oid = d.adrelid
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
UNION ALL
SELECT 'the constraint ' || c.conname, false, c.conbin::text
FROM pg_catalog.pg_constraint c JOIN rel ON rel.oid = c.conrelid WHERE c.conbin IS NOT NULL
UNION ALL
SELECT 'the index ' || rel.relname, false, t.tree
FROM pg_catalog.pg_index i JOIN rel ON rel.oid = i.indexrelid
CROSS JOIN LATERAL (VALUES (i.indexprs::text), (i.indpred::text)) AS t (tree)
WHERE t.tree IS NOT NULL
UNION ALL
SELECT 'the partition key of ' || rel.relname, false, p.partexprs::text
FROM pg_catalog.pg_partitioned_table p JOIN rel ON rel.oid = p.partrelid
WHERE p.partexprs IS NOT NULL
UNION ALL
SELECT 'the view ' || rel.relname, false, r.ev_action::text
FROM pg_catalog.pg_rewrite r JOIN rel ON rel.oid = r.ev_class
