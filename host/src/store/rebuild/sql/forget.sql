-- Forgets a rebuild, with its shards and open events. Uses projection_rebuilds_pkey.
DELETE FROM eventfabric.projection_rebuilds WHERE projection_name = $1
