-- Makes sure that a projection has a checkpoint for a tenant, at $3 where it is new, and tells in how
-- many shards it is. No row: another host is making it. Uses projection_checkpoints_pkey.
WITH created AS (
    INSERT INTO eventfabric.projection_checkpoints
           (projection_name, tenant_id, last_global_position)
    VALUES ($1, $2, $3)
    ON CONFLICT (projection_name, tenant_id) DO NOTHING
    RETURNING shards
)
SELECT true AS "created!", shards AS "shards!" FROM created
UNION ALL
SELECT false, shards
FROM eventfabric.projection_checkpoints
WHERE projection_name = $1 AND tenant_id = $2
