-- Moves checkpoints past events that do not concern their projections, many at once: $1 projections,
-- $2 tenants, $3 activations, $4 from where on nothing concerns them, $5 up to where, $6 versions, $7
-- the host. Nothing is waited for: what another one works on is left as it is, and told by its number
-- (from 1); so is a checkpoint before what was known of it, as a crash of the server can take one back.
-- Never past the log. Uses projection_checkpoints_pkey.
WITH due AS MATERIALIZED (
    SELECT u.*
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
         WITH ORDINALITY AS u (projection_name, tenant_id, generation, base, upto, version, n)
    JOIN eventfabric.projections p
      ON p.projection_name = u.projection_name AND p.generation = u.generation
),
free AS MATERIALIZED (
    SELECT c.projection_name, c.tenant_id, d.upto, d.version, d.n
    FROM due d
    JOIN eventfabric.projection_checkpoints c
      ON c.projection_name = d.projection_name AND c.tenant_id = d.tenant_id
    WHERE c.shards = 1 AND c.last_global_position >= d.base AND c.last_global_position < d.upto
    FOR UPDATE OF c SKIP LOCKED
),
moved AS (
    UPDATE eventfabric.projection_checkpoints c
    SET last_global_position =
            least(f.upto, (SELECT coalesce(max(global_position), 0) FROM eventfabric.events)),
        plugin_version = f.version, owner = $7, updated_at = now()
    FROM free f
    WHERE c.projection_name = f.projection_name AND c.tenant_id = f.tenant_id
)
SELECT d.n AS "n!", c.last_global_position < d.base AS "taken_back!"
FROM due d
JOIN eventfabric.projection_checkpoints c
  ON c.projection_name = d.projection_name AND c.tenant_id = d.tenant_id
WHERE c.shards = 1 AND c.last_global_position < d.upto
  AND d.n NOT IN (SELECT n FROM free)
