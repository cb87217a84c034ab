-- Reads a checkpoint and keeps every other host off it until the transaction ends. No row: another
-- one works on it, there is none, the tenant is in shards, or $3 is no longer the activation of the
-- projection: a host that has not heard of a change must not go on as before. Uses
-- projection_checkpoints_pkey.
SELECT last_global_position
FROM eventfabric.projection_checkpoints
WHERE projection_name = $1 AND tenant_id = $2 AND shards = 1
  AND EXISTS (SELECT FROM eventfabric.projections p
              WHERE p.projection_name = $1 AND p.generation = $3)
FOR UPDATE SKIP LOCKED
