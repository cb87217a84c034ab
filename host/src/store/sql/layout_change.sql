-- Parts a tenant anew, all of it at one position ($3), into $4 shards. Its shards are locked.
-- Uses projection_checkpoints_pkey, projection_shards_pkey.
WITH before AS (
    DELETE FROM eventfabric.projection_shards
    WHERE projection_name = $1 AND tenant_id = $2 AND shard >= $4
),
parted AS (
    INSERT INTO eventfabric.projection_shards
           (projection_name, tenant_id, shard, shards, last_global_position)
    SELECT $1, $2, n, $4, $3
    FROM generate_series(0, $4::int - 1) n
    WHERE $4 > 1
    ON CONFLICT (projection_name, tenant_id, shard) DO UPDATE
        SET shards = excluded.shards, last_global_position = excluded.last_global_position,
            updated_at = now()
),
single AS (
    DELETE FROM eventfabric.projection_shards
    WHERE projection_name = $1 AND tenant_id = $2 AND shard = 0 AND $4 = 1
)
UPDATE eventfabric.projection_checkpoints
SET shards = $4, last_global_position = $3, updated_at = now()
WHERE projection_name = $1 AND tenant_id = $2
