-- Which of these events of a projection must wait for an earlier one of their stream: $1 projection,
-- $2 positions, $3 tenants, $4 aggregates, $5 their ids; $6 rows of the outbox and $7 positions among
-- the retries that the transaction has locked itself. An earlier event is one that the projection is
-- to try again, one that it gave up, or one that another worker has in hand: its row stays visible
-- until that work is committed. What was parked before the projection asked for the order is in the way of all
-- that is later.
-- Uses projection_retries_stream_idx, projection_parked_projection_idx, outbox_dlq_stream_idx,
-- outbox_global_position_key.
WITH given AS (
    SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[])
                  AS g (position, tenant, aggregate, id)
),
in_hand AS MATERIALIZED (
    SELECT e.tenant_id, e.aggregate_name, e.aggregate_id, min(o.global_position) AS position
    FROM eventfabric.outbox o
    JOIN eventfabric.events e USING (global_position)
    WHERE o.dead_lettered_at IS NULL
      AND o.global_position < (SELECT max(position) FROM given)
      AND o.id <> ALL ($6::bigint[])
    GROUP BY e.tenant_id, e.aggregate_name, e.aggregate_id
),
parked AS MATERIALIZED (
    SELECT tenant_id, min(first_position) AS first
    FROM eventfabric.projection_parked
    WHERE projection_name = $1
    GROUP BY tenant_id
)
SELECT g.position AS "position!"
FROM given g
WHERE EXISTS (SELECT FROM eventfabric.projection_retries r
              WHERE r.projection_name = $1 AND r.tenant_id = g.tenant
                AND r.aggregate_name = g.aggregate AND r.aggregate_id = g.id
                AND r.global_position < g.position AND r.global_position <> ALL ($7::bigint[]))
   OR EXISTS (SELECT FROM parked k WHERE k.tenant_id = g.tenant AND k.first < g.position)
   OR EXISTS (SELECT FROM eventfabric.outbox_dead_letters d
              WHERE d.projection_name = $1 AND d.tenant_id = g.tenant
                AND d.aggregate_name = g.aggregate AND d.aggregate_id = g.id
                AND d.global_position < g.position
                AND NOT EXISTS (SELECT FROM eventfabric.events x
                                WHERE x.global_position = d.global_position
                                  AND x.dismissed_at IS NOT NULL))
   OR EXISTS (SELECT FROM in_hand h
              WHERE h.tenant_id = g.tenant AND h.aggregate_name = g.aggregate
                AND h.aggregate_id = g.id AND h.position < g.position)
