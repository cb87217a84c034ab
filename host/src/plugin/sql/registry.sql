-- All projections and their active versions. Uses projections_pkey; a table of few rows.
SELECT projection_name AS name, mode, active_sha256 AS version, generation, state, last_error,
       activated_at
FROM eventfabric.projections
ORDER BY projection_name
