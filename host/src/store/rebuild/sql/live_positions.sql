-- How far a catch-up projection has come: of each tenant, a shard of so many, by the hash of the stream.
-- Uses projection_checkpoints_pkey, projection_shards_pkey.
SELECT tenant_id AS "tenant!", shard AS "shard!", shards AS "shards!",
       last_global_position AS "position!"
FROM eventfabric.projection_positions
WHERE projection_name = $1
ORDER BY 1, 2
