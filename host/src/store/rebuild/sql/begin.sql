-- Begins a rebuild: $1 projection, $2 version of the plugin, $3 gets no event at or below this
-- position, $4 what else decides which events it gets, $5 shards. Uses projection_rebuilds_pkey.
WITH begun AS (
    INSERT INTO eventfabric.projection_rebuilds
           (projection_name, plugin_version, starts_after, wants, shards)
    VALUES ($1, $2, $3, $4, $5)
    RETURNING projection_name, rebuild_id
),
parts AS (
    INSERT INTO eventfabric.projection_rebuild_shards (projection_name, shard, last_global_position)
    SELECT b.projection_name, n, $3
    FROM begun b, generate_series(0, $5 - 1) n
)
SELECT rebuild_id FROM begun
