-- Dead letters, newest first: $1 projection (NULL: all), $2 how many.
SELECT d.id, d.projection_name AS projection, d.plugin_version, d.global_position AS position,
       d.tenant_id AS tenant, d.topic, d.attempts, d.last_error AS error, d.first_failed_at,
       d.dead_lettered_at, e.type AS "event_type?", e.aggregate_name AS "aggregate?",
       e.aggregate_id AS "aggregate_id?"
FROM eventfabric.outbox_dead_letters d
LEFT JOIN eventfabric.events e USING (global_position)
WHERE $1::text IS NULL OR d.projection_name = $1
ORDER BY d.id DESC
LIMIT $2
