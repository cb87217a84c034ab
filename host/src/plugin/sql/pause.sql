-- Has no host run a projection any more: $2 by whom, $3 why. Uses projections_pkey.
UPDATE eventfabric.projections
SET paused_at = now(), paused_by = $2, pause_reason = $3, generation = generation + 1
WHERE projection_name = $1
RETURNING mode
