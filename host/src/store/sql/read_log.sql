-- A page of the log: positions in ($1, $2], $3 how many; $4 types, $5 aggregates, $6 tenant,
-- each NULL for all; $7 dismissed ones, too; $8 shards, NULL for all, and $9 which one of them.
-- Uses events_pkey.
SELECT global_position AS "position!", event_id AS "event_id!", tenant_id AS "tenant!",
       aggregate_name AS "aggregate!", aggregate_id AS "aggregate_id!",
       aggregate_version AS "version!", type AS "event_type!", version AS "schema_version!",
       payload::text AS "payload!", occurred_at AS "occurred_at!", correlation_id, causation_id,
       dismissed_at, NULL::text AS topic
FROM eventfabric.events
WHERE global_position > $1 AND global_position <= $2
  AND ($4::text[] IS NULL OR type = ANY ($4))
  AND ($5::text[] IS NULL OR aggregate_name = ANY ($5))
  AND ($6::text IS NULL OR tenant_id = $6)
  AND ($7::bool OR dismissed_at IS NULL)
  AND ($8::int IS NULL OR eventfabric.shard_of(aggregate_id, $8) = $9::int)
ORDER BY global_position
LIMIT $3
