-- The version that a stream is to have; no row: nothing says so.
SELECT current_version
FROM eventfabric.stream_versions
WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3
