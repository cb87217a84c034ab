-- Waits for the batches of a catch-up projection that are on their way, and lets none begin until the
-- transaction ends. Uses projection_checkpoints_pkey, projection_shards_pkey.
WITH tenants AS MATERIALIZED (
    SELECT tenant_id, shards, last_global_position
    FROM eventfabric.projection_checkpoints
    WHERE projection_name = $1
    ORDER BY tenant_id
    FOR UPDATE
),
parts AS MATERIALIZED (
    SELECT tenant_id, shard, shards, last_global_position
    FROM eventfabric.projection_shards
    WHERE projection_name = $1
    ORDER BY tenant_id, shard
    FOR UPDATE
)
SELECT tenant_id AS "tenant!", 0 AS "shard!", 1 AS "shards!", last_global_position AS "position!"
FROM tenants
WHERE shards = 1
UNION ALL
SELECT tenant_id, shard, shards, last_global_position
FROM parts
ORDER BY 1, 2
