-- A page of a stream, oldest first: $4 first version, $5 how many, $6 dismissed ones, too.
-- Fails with EF001 where some of them are in a detached partition.
-- Uses events_stream_covering_idx, and of a partitioned log event_keys_version_key.
SELECT global_position AS "position!", event_id AS "event_id!", tenant_id AS "tenant!",
       aggregate_name AS "aggregate!", aggregate_id AS "aggregate_id!",
       aggregate_version AS "version!", type AS "event_type!", version AS "schema_version!",
       payload::text AS "payload!", occurred_at AS "occurred_at!", correlation_id, causation_id,
       dismissed_at, NULL::text AS topic
FROM eventfabric.events
WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3
  AND aggregate_version >= $4
  AND ($6::bool OR dismissed_at IS NULL)
  -- The partitions from the first of these events to the last one, where the keys tell them; the
  -- positions of a stream grow with its versions. Evaluated once, and before any partition is opened.
  AND global_position >= coalesce((
      SELECT CASE WHEN p.keyed >= p.keyed_until THEN coalesce((
                 SELECT k.global_position FROM eventfabric.event_keys k
                 WHERE k.tenant_id = $1 AND k.aggregate_name = $2 AND k.aggregate_id = $3
                   AND k.aggregate_version >= $4
                 ORDER BY k.aggregate_version LIMIT 1), 9223372036854775807) END
      FROM eventfabric.partitioning p), 0)
  AND global_position <= coalesce((
      SELECT CASE WHEN p.keyed >= p.keyed_until THEN coalesce((
                 SELECT k.global_position FROM eventfabric.event_keys k
                 WHERE k.tenant_id = $1 AND k.aggregate_name = $2 AND k.aggregate_id = $3
                 ORDER BY k.aggregate_version DESC LIMIT 1), 0) END
      FROM eventfabric.partitioning p), 9223372036854775807)
ORDER BY aggregate_version
-- In the LIMIT, which is evaluated whatever is left to be read: as a condition it would vanish together
-- with the partitions that are pruned, and a stream that lies in none of them would be empty.
LIMIT CASE WHEN eventfabric.require_attached($1, $2, $3, $4, 2147483647) THEN $5::bigint END
