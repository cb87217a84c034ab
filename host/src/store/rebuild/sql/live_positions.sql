-- How far a catch-up projection has come: of each tenant, a shard of so many, by the hash of the stream.
-- Uses projection_checkpoints_pkey.
SELECT tenant_id AS tenant, 0 AS "shard!", 1 AS "shards!", last_global_position AS position
FROM eventfabric.projection_checkpoints
WHERE projection_name = $1
ORDER BY tenant_id
