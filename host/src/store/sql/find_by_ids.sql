-- Where events with these ids are. Uses events_event_id_key.
SELECT event_id, global_position AS position, tenant_id, aggregate_name, aggregate_id,
       aggregate_version AS version, type AS event_type, occurred_at
FROM eventfabric.events
WHERE event_id = ANY ($1::uuid[])
