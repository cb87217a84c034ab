-- Streams of one kind of aggregate, in the order of their ids: $1 tenant, $2 aggregate, $3 how the id begins,
-- $4 the id to go on after, $5 how many. Uses stream_versions_pkey.
SELECT s.aggregate_name AS aggregate, s.aggregate_id AS id, s.current_version AS version, s.updated_at
FROM eventfabric.stream_versions s
WHERE s.tenant_id = $1 AND s.aggregate_name = $2 AND s.aggregate_id > $4
  AND starts_with(s.aggregate_id, $3)
ORDER BY s.aggregate_id
LIMIT $5
