-- Takes events $3 of a shard $2 out of those that were passed. Uses projection_rebuild_open_pkey.
DELETE FROM eventfabric.projection_rebuild_open
WHERE projection_name = $1 AND shard = $2 AND global_position = ANY ($3::bigint[])
