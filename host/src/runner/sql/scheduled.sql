-- The version that waits for a projection $1, where it is time: a checkpoint has come to the event before its
-- first one, and no tenant has events left for the version that is active. Uses projections_pkey,
-- projection_checkpoints_pkey, projection_shards_pkey, events_stream_covering_idx.
WITH RECURSIVE due AS (
    SELECT generation, active_sha256, next_sha256, next_at, next_origin, starts_after
    FROM eventfabric.projections
    WHERE projection_name = $1 AND next_at IS NOT NULL
),
tenants AS (
    (SELECT tenant_id FROM eventfabric.events ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT e.tenant_id FROM eventfabric.events e
            WHERE e.tenant_id > t.tenant_id ORDER BY e.tenant_id LIMIT 1)
    FROM tenants t
    WHERE t.tenant_id IS NOT NULL
)
SELECT generation, active_sha256 AS active, next_sha256 AS "version!", next_origin AS "origin!"
FROM due
WHERE EXISTS (SELECT FROM eventfabric.projection_positions p
              WHERE p.projection_name = $1 AND p.last_global_position >= due.next_at - 1)
  AND NOT EXISTS (
      SELECT FROM tenants t
      LEFT JOIN eventfabric.projection_positions p
             ON p.projection_name = $1 AND p.tenant_id = t.tenant_id
      WHERE t.tenant_id IS NOT NULL
        AND EXISTS (SELECT FROM eventfabric.events e
                    WHERE e.tenant_id = t.tenant_id
                      AND e.global_position > coalesce(p.last_global_position, due.starts_after)
                      AND e.global_position < due.next_at
                      AND (coalesce(p.shards, 1) = 1
                           OR eventfabric.shard_of(e.aggregate_id, p.shards) = p.shard)))
