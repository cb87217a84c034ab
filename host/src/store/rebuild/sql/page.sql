-- A page of the log for one shard, dismissed events included: positions in ($1, $2], $3 how many, $4
-- types (NULL for all), $5 shard of $6, by the first two bytes of the SHA-256 of the stream's id.
-- Uses events_pkey.
SELECT global_position AS "position!", event_id AS "event_id!", tenant_id AS "tenant!",
       aggregate_name AS "aggregate!", aggregate_id AS "aggregate_id!",
       aggregate_version AS "version!", type AS "event_type!", version AS "schema_version!",
       payload::text AS "payload!", occurred_at AS "occurred_at!", correlation_id, causation_id,
       dismissed_at, NULL::text AS topic
FROM eventfabric.events
WHERE global_position > $1 AND global_position <= $2
  AND ($4::text[] IS NULL OR type = ANY ($4))
  AND ($6::int = 1 OR eventfabric.shard_of(aggregate_id, $6) = $5::int)
ORDER BY global_position
LIMIT $3
