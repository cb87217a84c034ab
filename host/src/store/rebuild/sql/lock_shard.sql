-- How far a shard has come, locked until the transaction ends: $2 rebuild, $3 shard. No row when the
-- rebuild was begun anew or has ended. Uses projection_rebuild_shards_pkey.
SELECT s.last_global_position AS position
FROM eventfabric.projection_rebuild_shards s
WHERE s.projection_name = $1 AND s.shard = $3
  AND EXISTS (SELECT FROM eventfabric.projection_rebuilds r
              WHERE r.projection_name = $1 AND r.rebuild_id = $2)
FOR UPDATE
