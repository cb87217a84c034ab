-- All checkpoints of a projection: of each tenant, where its slowest shard stands.
-- Uses projection_checkpoints_pkey, projection_shards_pkey.
SELECT tenant_id AS "tenant!", min(last_global_position) AS "position!"
FROM eventfabric.projection_positions
WHERE projection_name = $1
GROUP BY tenant_id
