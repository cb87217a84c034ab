-- Waits for the batches of a catch-up projection that are on their way, and lets none begin until the
-- transaction ends. Uses projection_checkpoints_pkey.
SELECT tenant_id AS tenant, 0 AS "shard!", 1 AS "shards!", last_global_position AS position
FROM eventfabric.projection_checkpoints
WHERE projection_name = $1
ORDER BY tenant_id
FOR UPDATE
