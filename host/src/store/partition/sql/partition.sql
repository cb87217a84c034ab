-- Makes the log a partitioned table. ACCESS EXCLUSIVE on the log, for a moment.
SELECT eventfabric.partition_events()::text AS done
