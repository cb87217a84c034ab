-- Forgets which events the tables hold that are kept of a projection. Uses projection_kept_pkey.
DELETE FROM eventfabric.projection_kept WHERE projection_name = $1
