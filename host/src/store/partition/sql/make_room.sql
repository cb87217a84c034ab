-- Makes the partitions that an append of $1 events needs next, and one more; says which.
SELECT name AS "name!"
FROM eventfabric.create_partitions(
    (SELECT 1 + $1::bigint / p.size FROM eventfabric.partitioning p)::int) AS name
