-- How far the shards of a rebuild have come. Uses projection_rebuild_shards_pkey.
SELECT shard, last_global_position AS position, events
FROM eventfabric.projection_rebuild_shards
WHERE projection_name = $1
ORDER BY shard
