-- Moves a checkpoint. Uses projection_checkpoints_pkey.
UPDATE eventfabric.projection_checkpoints
SET last_global_position = $3, plugin_version = $4, updated_at = now()
WHERE projection_name = $1 AND tenant_id = $2
