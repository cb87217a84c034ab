-- The same as checkpoint_save.sql for one shard ($6). Uses projection_shards_pkey, events_pkey.
UPDATE eventfabric.projection_shards
SET last_global_position =
        least($3, (SELECT coalesce(max(global_position), 0) FROM eventfabric.events)),
    plugin_version = $4, owner = $5, updated_at = now()
WHERE projection_name = $1 AND tenant_id = $2 AND shard = $6
