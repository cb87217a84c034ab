-- All checkpoints of a projection. Uses projection_checkpoints_pkey.
SELECT tenant_id AS tenant, last_global_position AS position
FROM eventfabric.projection_checkpoints
WHERE projection_name = $1
