-- The partition is in the log after all.
DELETE FROM eventfabric.detached_partitions WHERE name = $1
