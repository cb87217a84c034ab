-- Reads a checkpoint and keeps every other host off it until the transaction ends. No row: another
-- one works on it, or there is none. Uses projection_checkpoints_pkey.
SELECT last_global_position
FROM eventfabric.projection_checkpoints
WHERE projection_name = $1 AND tenant_id = $2
FOR UPDATE SKIP LOCKED
