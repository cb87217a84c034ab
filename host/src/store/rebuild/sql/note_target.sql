-- Notes where a rebuild has to come to: $2 rebuild, $3 position. Uses projection_rebuilds_pkey.
UPDATE eventfabric.projection_rebuilds
SET target_position = $3, last_error = NULL
WHERE projection_name = $1 AND rebuild_id = $2
