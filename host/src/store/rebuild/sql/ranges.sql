-- A version $2 has filled the tables of a catch-up projection $1 with everything after the position $3: what
-- others have handled is gone with their tables. Uses projection_ranges_pkey, projection_checkpoints_pkey,
-- projection_shards_pkey.
WITH gone AS (
    DELETE FROM eventfabric.projection_ranges WHERE projection_name = $1 AND first_position <> $3::bigint + 1
)
INSERT INTO eventfabric.projection_ranges
       (projection_name, tenant_id, shard, first_position, shards, plugin_version)
SELECT projection_name, tenant_id, shard, $3::bigint + 1, shards, $2
FROM eventfabric.projection_positions
WHERE projection_name = $1 AND last_global_position > $3
ON CONFLICT (projection_name, tenant_id, shard, first_position) DO UPDATE
    SET shards = excluded.shards, plugin_version = excluded.plugin_version, at = excluded.at
