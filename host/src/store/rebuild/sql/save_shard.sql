-- Moves a shard that this transaction has locked: $2 shard, $3 position, $4 events more.
-- Uses projection_rebuild_shards_pkey.
UPDATE eventfabric.projection_rebuild_shards
SET last_global_position = $3, events = events + $4, updated_at = now()
WHERE projection_name = $1 AND shard = $2
