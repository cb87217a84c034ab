-- The partitions that were taken out of the log.
SELECT name FROM eventfabric.detached_partitions ORDER BY to_position
