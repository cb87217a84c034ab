-- Makes sure that a projection has a checkpoint for a tenant, at $3 where it is new. Uses
-- projection_checkpoints_pkey.
INSERT INTO eventfabric.projection_checkpoints (projection_name, tenant_id, last_global_position)
VALUES ($1, $2, $3)
ON CONFLICT (projection_name, tenant_id) DO NOTHING
