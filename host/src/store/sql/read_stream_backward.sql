-- A page of a stream, newest first: $4 greatest version, $5 how many, $6 dismissed ones, too.
-- Uses events_stream_covering_idx.
SELECT global_position AS "position!", event_id AS "event_id!", tenant_id AS "tenant!",
       aggregate_name AS "aggregate!", aggregate_id AS "aggregate_id!",
       aggregate_version AS "version!", type AS "event_type!", version AS "schema_version!",
       payload::text AS "payload!", occurred_at AS "occurred_at!", correlation_id, causation_id,
       dismissed_at, NULL::text AS topic
FROM eventfabric.events
WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3
  AND aggregate_version <= $4
  AND ($6::bool OR dismissed_at IS NULL)
ORDER BY aggregate_version DESC
LIMIT $5
