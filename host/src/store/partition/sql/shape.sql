-- What the log is: partitioned or not, its greatest position, and the size of a partition if it was
-- said.
SELECT eventfabric.events_are_partitioned() AS "partitioned!",
       eventfabric.last_position() AS "last_position!",
       (SELECT p.size FROM eventfabric.partitioning p) AS size
