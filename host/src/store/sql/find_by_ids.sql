-- Where events with these ids are. Uses events_event_id_key, or the keys of a partitioned log; an
-- event whose partition was detached has no type and no time.
SELECT e.event_id AS "event_id!", e.global_position AS "position!", e.tenant_id AS "tenant_id!",
       e.aggregate_name AS "aggregate_name!", e.aggregate_id AS "aggregate_id!",
       e.aggregate_version AS "version!", e.type AS "event_type?", e.occurred_at AS "occurred_at?"
FROM eventfabric.events e
WHERE e.event_id = ANY ($1::uuid[])
  AND (SELECT c.relkind = 'r' FROM pg_catalog.pg_class c
       WHERE c.oid = 'eventfabric.events'::regclass)
UNION ALL
SELECT k.event_id, k.global_position, k.tenant_id, k.aggregate_name, k.aggregate_id,
       k.aggregate_version, e.type, e.occurred_at
FROM eventfabric.event_keys k
LEFT JOIN eventfabric.events e ON e.global_position = k.global_position
WHERE k.event_id = ANY ($1::uuid[])
  AND (SELECT c.relkind = 'p' FROM pg_catalog.pg_class c
       WHERE c.oid = 'eventfabric.events'::regclass)
