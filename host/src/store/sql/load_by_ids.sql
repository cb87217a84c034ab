-- Events by their ids: $1 ids, $2 tenant (NULL for all). Dismissed ones, too.
-- Uses events_event_id_key.
SELECT global_position AS "position!", event_id AS "event_id!", tenant_id AS "tenant!",
       aggregate_name AS "aggregate!", aggregate_id AS "aggregate_id!",
       aggregate_version AS "version!", type AS "event_type!", version AS "schema_version!",
       payload::text AS "payload!", occurred_at AS "occurred_at!", correlation_id, causation_id,
       dismissed_at, NULL::text AS topic
FROM eventfabric.events
WHERE event_id = ANY ($1::uuid[]) AND ($2::text IS NULL OR tenant_id = $2)
