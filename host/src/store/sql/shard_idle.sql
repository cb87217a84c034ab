-- The same as checkpoint_idle.sql for shards ($8), of so many ($9). Uses projection_shards_pkey.
WITH due AS MATERIALIZED (
    SELECT u.*
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[],
                $8::int[], $9::int[])
         WITH ORDINALITY
         AS u (projection_name, tenant_id, generation, base, upto, version, shard, shards, n)
    JOIN eventfabric.projections p
      ON p.projection_name = u.projection_name AND p.generation = u.generation
),
free AS MATERIALIZED (
    SELECT c.projection_name, c.tenant_id, c.shard, d.upto, d.version, d.n
    FROM due d
    JOIN eventfabric.projection_shards c
      ON c.projection_name = d.projection_name AND c.tenant_id = d.tenant_id
     AND c.shard = d.shard AND c.shards = d.shards
    WHERE c.last_global_position >= d.base AND c.last_global_position < d.upto
    FOR UPDATE OF c SKIP LOCKED
),
moved AS (
    UPDATE eventfabric.projection_shards c
    SET last_global_position =
            least(f.upto, (SELECT coalesce(max(global_position), 0) FROM eventfabric.events)),
        plugin_version = f.version, owner = $7, updated_at = now()
    FROM free f
    WHERE c.projection_name = f.projection_name AND c.tenant_id = f.tenant_id
      AND c.shard = f.shard
)
SELECT d.n AS "n!", c.last_global_position < d.base AS "taken_back!"
FROM due d
JOIN eventfabric.projection_shards c
  ON c.projection_name = d.projection_name AND c.tenant_id = d.tenant_id
 AND c.shard = d.shard AND c.shards = d.shards
WHERE c.last_global_position < d.upto
  AND d.n NOT IN (SELECT n FROM free)
