-- Events by position ($1) or id ($2), of a tenant ($3, NULL for all), locked against another dismissal,
-- in the order in which every dismissal locks them. Uses events_pkey, events_event_id_key.
SELECT global_position AS position, event_id, dismissed_at, dismissed_by, dismissed_reason
FROM eventfabric.events
WHERE (global_position = ANY ($1::bigint[]) OR event_id = ANY ($2::uuid[]))
  AND ($3::text IS NULL OR tenant_id = $3)
ORDER BY global_position
FOR NO KEY UPDATE
