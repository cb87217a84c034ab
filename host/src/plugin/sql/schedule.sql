-- Has a version $2 wait for a catch-up projection $1 to come to the position $3, with what is noted of it
-- then $4. No host goes on with what it knew before. Uses projections_pkey.
UPDATE eventfabric.projections
SET next_sha256 = $2, next_at = $3, next_origin = $4, generation = generation + 1
WHERE projection_name = $1
