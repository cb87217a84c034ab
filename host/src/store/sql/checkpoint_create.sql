-- Makes sure that a projection has a checkpoint for a tenant. Uses projection_checkpoints_pkey.
INSERT INTO eventfabric.projection_checkpoints (projection_name, tenant_id)
VALUES ($1, $2)
ON CONFLICT (projection_name, tenant_id) DO NOTHING
