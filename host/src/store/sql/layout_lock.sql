-- Reads in how many shards a tenant is, and keeps every other host from parting it anew. No row as in
-- checkpoint_lock.sql. Uses projection_checkpoints_pkey.
SELECT shards, last_global_position AS position
FROM eventfabric.projection_checkpoints
WHERE projection_name = $1 AND tenant_id = $2
  AND EXISTS (SELECT FROM eventfabric.projections p
              WHERE p.projection_name = $1 AND p.generation = $3)
FOR UPDATE SKIP LOCKED
