-- Lets the retries of a projection ($1) go on that are held and wait for nothing any more. $2: the
-- projection keeps the order of streams; otherwise nothing is held. Looks at the first one of each
-- stream, for what order_blocked.sql looks for.
-- Uses projection_retries_held_idx, projection_retries_stream_idx, projection_parked_projection_idx,
-- outbox_dlq_stream_idx.
WITH first AS MATERIALIZED (
    SELECT tenant_id, aggregate_name, aggregate_id, min(global_position) AS global_position
    FROM eventfabric.projection_retries
    WHERE projection_name = $1 AND held
    GROUP BY tenant_id, aggregate_name, aggregate_id
),
in_hand AS MATERIALIZED (
    SELECT e.tenant_id, e.aggregate_name, e.aggregate_id, min(o.global_position) AS global_position
    FROM eventfabric.outbox o
    JOIN eventfabric.events e USING (global_position)
    WHERE o.dead_lettered_at IS NULL
      AND o.global_position < (SELECT max(global_position) FROM first)
    GROUP BY e.tenant_id, e.aggregate_name, e.aggregate_id
),
parked AS MATERIALIZED (
    SELECT tenant_id, min(first_position) AS first
    FROM eventfabric.projection_parked
    WHERE projection_name = $1
    GROUP BY tenant_id
),
free AS (
    SELECT f.tenant_id, f.aggregate_name, f.aggregate_id
    FROM first f
    WHERE NOT $2
       OR (NOT EXISTS (SELECT FROM eventfabric.projection_retries r
                       WHERE r.projection_name = $1 AND r.tenant_id = f.tenant_id
                         AND r.aggregate_name = f.aggregate_name
                         AND r.aggregate_id = f.aggregate_id
                         AND r.global_position < f.global_position)
           AND NOT EXISTS (SELECT FROM parked k
                           WHERE k.tenant_id = f.tenant_id AND k.first < f.global_position)
           AND NOT EXISTS (SELECT FROM eventfabric.outbox_dead_letters d
                           WHERE d.projection_name = $1 AND d.tenant_id = f.tenant_id
                             AND d.aggregate_name = f.aggregate_name
                             AND d.aggregate_id = f.aggregate_id
                             AND d.global_position < f.global_position
                             AND NOT EXISTS (SELECT FROM eventfabric.events x
                                             WHERE x.global_position = d.global_position
                                               AND x.dismissed_at IS NOT NULL))
           AND NOT EXISTS (SELECT FROM in_hand h
                           WHERE h.tenant_id = f.tenant_id
                             AND h.aggregate_name = f.aggregate_name
                             AND h.aggregate_id = f.aggregate_id
                             AND h.global_position < f.global_position))
)
UPDATE eventfabric.projection_retries r
SET held = false, next_attempt_at = now()
FROM free f
WHERE r.projection_name = $1 AND r.held AND r.tenant_id = f.tenant_id
  AND r.aggregate_name IS NOT DISTINCT FROM f.aggregate_name
  AND r.aggregate_id IS NOT DISTINCT FROM f.aggregate_id
