-- Events by position ($1), of a tenant ($2, NULL for all), locked against another dismissal in the
-- order in which every dismissal locks them. Uses events_pkey.
SELECT global_position AS position, event_id, dismissed_at, dismissed_by, dismissed_reason
FROM eventfabric.events
WHERE global_position = ANY ($1::bigint[]) AND ($2::text IS NULL OR tenant_id = $2)
ORDER BY global_position
FOR NO KEY UPDATE
