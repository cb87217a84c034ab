-- From now on the queue delivers to a projection what is after $2, for all hosts.
-- Uses projections_pkey.
UPDATE eventfabric.projections
SET starts_after = greatest(starts_after, $2), generation = generation + 1
WHERE projection_name = $1
