-- Moves a checkpoint, never past the log: after a failover the log can end before what was read.
-- Uses projection_checkpoints_pkey, events_pkey.
UPDATE eventfabric.projection_checkpoints
SET last_global_position =
        least($3, (SELECT coalesce(max(global_position), 0) FROM eventfabric.events)),
    plugin_version = $4, owner = $5, updated_at = now()
WHERE projection_name = $1 AND tenant_id = $2
