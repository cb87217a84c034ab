-- Events that a shard $2 has passed, after the position $3, $4 how many.
-- Uses projection_rebuild_open_pkey.
SELECT global_position AS position, tenant_id AS tenant, aggregate_name AS aggregate,
       aggregate_id AS id
FROM eventfabric.projection_rebuild_open
WHERE projection_name = $1 AND shard = $2 AND global_position > $3
ORDER BY global_position
LIMIT $4
