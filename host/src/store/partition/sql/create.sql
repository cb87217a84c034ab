-- Makes partitions until there is room for $1 beyond the last position, and says which.
SELECT name AS "name!" FROM eventfabric.create_partitions($1) AS name
