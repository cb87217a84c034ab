-- Has all hosts read anew what a projection is: none goes on with what it knew before.
-- Uses projections_pkey.
UPDATE eventfabric.projections SET generation = generation + 1 WHERE projection_name = $1
