-- Moves the checkpoints of a projection, of the tenants $3 and of all that it has, to $2, or to the end of
-- the log where that is less; tenants in shards stay so. Waits for batches that are on their way, but for those of
-- relays, which lock their checkpoint last (and then find another activation). Answers the position.
-- Uses projection_checkpoints_pkey, projection_shards_pkey, events_pkey.
WITH place AS (
    SELECT least($2::bigint, (SELECT coalesce(max(global_position), 0)
                              FROM eventfabric.events)) AS position
),
moved AS (
    INSERT INTO eventfabric.projection_checkpoints
           (projection_name, tenant_id, last_global_position)
    SELECT $1, t.tenant_id, p.position
    FROM place p,
         (SELECT unnest($3::text[]) AS tenant_id
          UNION
          SELECT tenant_id FROM eventfabric.projection_checkpoints WHERE projection_name = $1) t
    ORDER BY t.tenant_id
    ON CONFLICT (projection_name, tenant_id) DO UPDATE
        SET last_global_position = excluded.last_global_position, updated_at = now()
),
parts AS (
    UPDATE eventfabric.projection_shards
    SET last_global_position = (SELECT position FROM place), updated_at = now()
    WHERE projection_name = $1
)
SELECT position AS "position!" FROM place
