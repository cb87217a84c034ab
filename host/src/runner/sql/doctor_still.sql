-- Projections that stand where they stood $1 seconds ago although they have work as old as that:
-- checkpoints that were not moved, retries that nobody has begun. $2 the tenants. Uses
-- projection_checkpoints_pkey, projection_shards_pkey, events_pkey, projection_retries_due_idx,
-- projection_parked_projection_idx.
SELECT p.projection_name AS "name!", w.since AS "since!"
FROM eventfabric.projections p
CROSS JOIN LATERAL (
    SELECT min(greatest(e.occurred_at, k.updated_at, p.activated_at)) AS since
    FROM unnest($2::text[]) AS t (tenant_id)
    LEFT JOIN eventfabric.projection_positions k
           ON k.projection_name = p.projection_name AND k.tenant_id = t.tenant_id
    CROSS JOIN LATERAL (
        SELECT e.occurred_at
        FROM eventfabric.events e
        WHERE e.global_position > greatest(coalesce(k.last_global_position, 0), p.starts_after)
          AND e.tenant_id = t.tenant_id
          AND (coalesce(k.shards, 1) = 1
               OR eventfabric.shard_of(e.aggregate_id, k.shards) = k.shard)
        ORDER BY e.global_position
        LIMIT 1) e
    WHERE p.mode = 'catch-up'
    UNION ALL
    SELECT least((SELECT min(r.next_attempt_at)
                  FROM eventfabric.projection_retries r
                  WHERE r.projection_name = p.projection_name AND NOT r.held),
                 (SELECT min(k.parked_at)
                  FROM eventfabric.projection_parked k
                  WHERE k.projection_name = p.projection_name))
    WHERE p.mode = 'async'
) w
WHERE p.state <> 'failed' AND p.paused_at IS NULL
  AND w.since < now() - make_interval(secs => $1::float8)
ORDER BY p.projection_name
