-- One partition of the log: its bounds, and whether all its positions have been given.
SELECT p.name::text AS "name!", p.from_position, p.to_position, p.detaching AS "detaching!",
       coalesce(p.to_position <= eventfabric.last_position(), false) AS "closed!"
FROM eventfabric.event_partitions p
WHERE p.name = $1
