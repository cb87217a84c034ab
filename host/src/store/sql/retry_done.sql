-- Takes handled events out of the retries of a projection. Uses projection_retries_pkey.
DELETE FROM eventfabric.projection_retries
WHERE projection_name = $1 AND global_position = ANY ($2::bigint[])
