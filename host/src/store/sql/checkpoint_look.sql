-- Where one shard of a projection stands, whoever works on it. Uses projection_checkpoints_pkey,
-- projection_shards_pkey.
SELECT last_global_position AS "position!"
FROM eventfabric.projection_positions
WHERE projection_name = $1 AND tenant_id = $2 AND shard = $3
