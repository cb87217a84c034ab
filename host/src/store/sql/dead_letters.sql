-- Dead letters, newest first: $1 ids, $2 projection, $3 tenant, each NULL for all; $4 older than this
-- one (NULL: any), $5 how many. Uses outbox_dead_letters_pkey.
SELECT d.id, d.projection_name AS projection, d.plugin_version, d.global_position AS position,
       d.tenant_id AS tenant, d.topic, d.attempts, d.last_error AS error, d.first_failed_at,
       d.dead_lettered_at, e.type AS "event_type?", e.aggregate_name AS "aggregate?",
       e.aggregate_id AS "aggregate_id?"
FROM eventfabric.outbox_dead_letters d
LEFT JOIN eventfabric.events e USING (global_position)
WHERE ($1::bigint[] IS NULL OR d.id = ANY ($1))
  AND ($2::text IS NULL OR d.projection_name = $2)
  AND ($3::text IS NULL OR d.tenant_id = $3)
  AND ($4::bigint IS NULL OR d.id < $4)
ORDER BY d.id DESC
LIMIT $5
