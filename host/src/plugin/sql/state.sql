-- Notes that a projection failed or runs: $2 generation that it is said of, $3 state, $4 error.
-- Uses projections_pkey.
UPDATE eventfabric.projections
SET state = $3, last_error = $4
WHERE projection_name = $1 AND generation = $2 AND (state, last_error) IS DISTINCT FROM ($3, $4)
