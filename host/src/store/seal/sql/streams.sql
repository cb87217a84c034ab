-- The next streams after ($1, $2, $3), $4 at most.
-- Uses stream_versions_pkey.
SELECT tenant_id AS tenant, aggregate_name AS aggregate, aggregate_id AS id
FROM eventfabric.stream_versions
WHERE (tenant_id, aggregate_name, aggregate_id) > ($1, $2, $3)
ORDER BY tenant_id, aggregate_name, aggregate_id
LIMIT $4
