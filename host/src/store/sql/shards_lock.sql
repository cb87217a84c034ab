-- Locks the shards of a tenant that nobody works on. Uses projection_shards_pkey.
SELECT shard, last_global_position AS position
FROM eventfabric.projection_shards
WHERE projection_name = $1 AND tenant_id = $2
ORDER BY shard
FOR UPDATE SKIP LOCKED
