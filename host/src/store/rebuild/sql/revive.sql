-- Makes of the tables that are kept of a projection $1, if they are those of the version $2, a rebuild in
-- $3 shards that has come as far as they have; $4 is added to what it wants. Answers whether it did.
-- Uses projection_kept_pkey, projection_kept_open_pkey.
WITH kept AS (
    DELETE FROM eventfabric.projection_kept
    WHERE projection_name = $1 AND plugin_version = $2
    RETURNING projection_name, plugin_version, last_global_position, beyond, wants
),
begun AS (
    INSERT INTO eventfabric.projection_rebuilds
           (projection_name, plugin_version, starts_after, wants, shards, beyond)
    SELECT projection_name, plugin_version, 0, wants || $4, $3, beyond FROM kept
    RETURNING projection_name
),
parts AS (
    INSERT INTO eventfabric.projection_rebuild_shards (projection_name, shard, last_global_position)
    SELECT projection_name, n, last_global_position FROM kept, generate_series(0, $3 - 1) n
),
passed AS (
    INSERT INTO eventfabric.projection_rebuild_open
           (projection_name, shard, global_position, tenant_id, aggregate_name, aggregate_id)
    SELECT projection_name, eventfabric.shard_of(o.aggregate_id, $3), o.global_position, o.tenant_id,
           o.aggregate_name, o.aggregate_id
    FROM begun
    JOIN eventfabric.projection_kept_open o USING (projection_name)
)
SELECT count(*) > 0 AS "is!" FROM begun
