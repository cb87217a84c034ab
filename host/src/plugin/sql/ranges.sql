-- What each version of a catch-up projection $1 has handled, by tenant and shard, oldest first.
-- Uses projection_ranges_pkey, projection_checkpoints_pkey, projection_shards_pkey.
SELECT version AS "version!", tenant AS "tenant!", shard AS "shard!", shards AS "shards!",
       first AS "first!", last AS "last!"
FROM (
    SELECT r.plugin_version AS version, r.tenant_id AS tenant, r.shard, r.shards,
           r.first_position AS first,
           coalesce((SELECT min(n.first_position) - 1
                     FROM eventfabric.projection_ranges n
                     WHERE n.projection_name = $1 AND n.tenant_id = r.tenant_id
                       AND n.first_position > r.first_position
                       AND (n.shard = r.shard OR n.shards <> r.shards)),
                    (SELECT p.last_global_position
                     FROM eventfabric.projection_positions p
                     WHERE p.projection_name = $1 AND p.tenant_id = r.tenant_id
                       AND p.shard = r.shard AND p.shards = r.shards)) AS last
    FROM eventfabric.projection_ranges r
    WHERE r.projection_name = $1
) handled
WHERE last >= first
ORDER BY tenant, first, shard
