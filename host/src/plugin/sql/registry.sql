-- All projections, their active versions and what was decided for them. Uses projections_pkey and
-- projection_backfills_pkey; tables of few rows.
SELECT projection_name AS name, mode, active_sha256 AS version, generation, state, last_error,
       activated_at, next_at, shards, on_poison, stream_order, topics, priority, starts_after, paused_at,
       paused_by, pause_reason,
       EXISTS (SELECT FROM eventfabric.projection_backfills b
               WHERE b.projection_name = p.projection_name) AS "backfilling!"
FROM eventfabric.projections p
ORDER BY projection_name
