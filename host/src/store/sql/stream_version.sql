-- The version of the last event of a stream. Uses stream_versions_pkey.
SELECT current_version
FROM eventfabric.stream_versions
WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3
