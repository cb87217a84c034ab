-- Makes a version the active one: $1 projection, $2 mode, $3 SHA-256. The rest is for a projection that
-- is new: $4 shards, $5 on poison, $6 order of the stream, $7 topics, $8 priority, $9 starts after,
-- $10 is async and gets the events that are there already. $11: only over this generation, where it is given.
-- Uses projections_pkey, plugin_deployments_plugin_idx.
WITH activated AS (
    INSERT INTO eventfabric.projections AS p
           (projection_name, mode, active_sha256, shards, on_poison, stream_order, topics, priority,
            starts_after, generation)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
            -- Where it was removed before, hosts may remember that one's generations.
            1 + coalesce((SELECT max(d.generation) FROM eventfabric.plugin_deployments d
                          WHERE d.plugin_name = $1), 0))
    ON CONFLICT (projection_name) DO UPDATE
        SET mode = excluded.mode, active_sha256 = excluded.active_sha256,
            generation = p.generation + 1, state = 'running', last_error = NULL,
            activated_at = now(), next_sha256 = NULL, next_at = NULL, next_origin = NULL
        WHERE $11::bigint IS NULL OR p.generation = $11
    -- Zero where the row was inserted rather than updated.
    RETURNING generation, xmax = 0 AS is_new
),
backfill AS (
    INSERT INTO eventfabric.projection_backfills (projection_name)
    SELECT $1 FROM activated WHERE is_new AND $10
)
SELECT generation AS "generation!" FROM activated
