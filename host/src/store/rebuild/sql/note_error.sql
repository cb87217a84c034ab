-- Notes why a rebuild has ended: $2 rebuild, $3 error. Uses projection_rebuilds_pkey.
UPDATE eventfabric.projection_rebuilds
SET last_error = $3
WHERE projection_name = $1 AND rebuild_id = $2
