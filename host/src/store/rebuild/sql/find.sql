-- The rebuild of a projection that has begun. Uses projection_rebuilds_pkey.
SELECT rebuild_id AS id, plugin_version AS version, starts_after, wants, shards, beyond
FROM eventfabric.projection_rebuilds
WHERE projection_name = $1
