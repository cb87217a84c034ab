-- How many of the versions from $4 to $5 of a stream are in detached partitions, by their keys.
SELECT count(*) AS "count!"
FROM eventfabric.event_keys k
JOIN eventfabric.detached_partitions d
  ON k.global_position >= coalesce(d.from_position, 0) AND k.global_position < d.to_position
WHERE k.tenant_id = $1 AND k.aggregate_name = $2 AND k.aggregate_id = $3
  AND k.aggregate_version BETWEEN $4 AND $5
