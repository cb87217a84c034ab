-- Has the hosts run a projection that was paused, or that an error has stopped. No row where it runs.
-- Uses projections_pkey.
UPDATE eventfabric.projections
SET paused_at = NULL, paused_by = NULL, pause_reason = NULL, state = 'running', last_error = NULL,
    generation = generation + 1
WHERE projection_name = $1 AND (paused_at IS NOT NULL OR state <> 'running')
RETURNING generation
