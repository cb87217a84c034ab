-- Notes what is in the way of a projection that runs: $2 generation that it is said of, $3 what, NULL for nothing.
-- Uses projections_pkey.
UPDATE eventfabric.projections
SET last_error = $3
WHERE projection_name = $1 AND generation = $2 AND state = 'running' AND last_error IS DISTINCT FROM $3
