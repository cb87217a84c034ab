-- The same as checkpoint_lock.sql for one shard ($4) of so many ($5). Uses projection_shards_pkey.
SELECT last_global_position
FROM eventfabric.projection_shards
WHERE projection_name = $1 AND tenant_id = $2 AND shard = $4 AND shards = $5
  AND EXISTS (SELECT FROM eventfabric.projections p
              WHERE p.projection_name = $1 AND p.generation = $3)
FOR UPDATE SKIP LOCKED
