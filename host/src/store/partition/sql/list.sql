-- The partitions, in the log and out of it, by position. Rows are the server's estimate (its last
-- ANALYZE), -1 where it has none.
SELECT p.name::text AS "name!", p.from_position, p.to_position,
       CASE WHEN p.detaching THEN 'detaching' WHEN p.is_default THEN 'default' ELSE 'attached' END
           AS "state!",
       c.reltuples::bigint AS "rows!", pg_catalog.pg_total_relation_size(p.oid) AS "bytes!",
       NULL::timestamptz AS detached_at
FROM eventfabric.event_partitions p
JOIN pg_catalog.pg_class c ON c.oid = p.oid
UNION ALL
SELECT d.name, d.from_position, d.to_position,
       CASE WHEN c.oid IS NULL THEN 'dropped' ELSE 'detached' END,
       coalesce(c.reltuples, 0)::bigint, coalesce(pg_catalog.pg_total_relation_size(c.oid), 0),
       d.detached_at
FROM eventfabric.detached_partitions d
LEFT JOIN pg_catalog.pg_class c
       ON c.relname = d.name AND c.relnamespace = 'eventfabric'::regnamespace
WHERE NOT EXISTS (SELECT FROM eventfabric.event_partitions p WHERE p.name = d.name)
ORDER BY 2 NULLS FIRST, 3
