-- How old the first event is that each projection has not handled, in seconds: that of the log for a
-- catch-up projection, that of the outbox or of its retries for an async one. $1 the tenants. Uses
-- projection_checkpoints_pkey, projection_shards_pkey, events_pkey, outbox_pkey.
SELECT p.projection_name AS "name!",
       greatest(extract(epoch FROM now() - CASE p.mode
           WHEN 'catch-up' THEN (
               SELECT min(e.occurred_at)
               FROM unnest($1::text[]) AS t (tenant_id)
               LEFT JOIN eventfabric.projection_positions k
                      ON k.projection_name = p.projection_name AND k.tenant_id = t.tenant_id
               CROSS JOIN LATERAL (
                   SELECT e.occurred_at
                   FROM eventfabric.events e
                   WHERE e.global_position
                         > greatest(coalesce(k.last_global_position, 0), p.starts_after)
                     AND e.tenant_id = t.tenant_id
                     AND (coalesce(k.shards, 1) = 1
                          OR eventfabric.shard_of(e.aggregate_id, k.shards) = k.shard)
                   ORDER BY e.global_position
                   LIMIT 1) e)
           WHEN 'async' THEN least(
               (SELECT o.created_at FROM eventfabric.outbox o
                WHERE o.dead_lettered_at IS NULL ORDER BY o.id LIMIT 1),
               (SELECT min(r.first_failed_at) FROM eventfabric.projection_retries r
                WHERE r.projection_name = p.projection_name))
       END)::float8, 0) AS seconds,
       (SELECT count(*) FROM eventfabric.projection_retries r
        WHERE r.projection_name = p.projection_name
          AND NOT r.held AND r.next_attempt_at < now()) AS "due!",
       p.paused_at, p.paused_by, p.pause_reason
FROM eventfabric.projections p
ORDER BY p.projection_name
