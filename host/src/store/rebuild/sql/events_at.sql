-- Events by their positions, dismissed ones included, in order. Uses events_pkey.
SELECT global_position AS "position!", event_id AS "event_id!", tenant_id AS "tenant!",
       aggregate_name AS "aggregate!", aggregate_id AS "aggregate_id!",
       aggregate_version AS "version!", type AS "event_type!", version AS "schema_version!",
       payload::text AS "payload!", occurred_at AS "occurred_at!", correlation_id, causation_id,
       dismissed_at, NULL::text AS topic
FROM eventfabric.events
WHERE global_position = ANY ($1::bigint[])
ORDER BY global_position
