-- All projections, their active versions and what was decided for them. Uses projections_pkey; a
-- table of few rows.
SELECT projection_name AS name, mode, active_sha256 AS version, generation, state, last_error,
       activated_at, shards, on_poison, stream_order, topics, priority, starts_after, paused_at,
       paused_by, pause_reason
FROM eventfabric.projections
ORDER BY projection_name
