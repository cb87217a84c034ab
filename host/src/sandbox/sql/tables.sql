-- The tables and views of the schema $1 with their columns, their size and about how many rows they have (-1:
-- the server has not counted yet). Reads the catalogs of one schema.
SELECT c.relname::text AS name,
       c.relkind IN ('v', 'm') AS is_view,
       c.reltuples::bigint AS about_rows,
       pg_catalog.pg_total_relation_size(c.oid) AS bytes,
       (SELECT pg_catalog.array_agg(a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod)
                                    ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
ORDER BY c.relname
