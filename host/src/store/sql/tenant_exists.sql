-- Whether a tenant has any stream. Uses stream_versions_pkey.
SELECT EXISTS (SELECT FROM eventfabric.stream_versions WHERE tenant_id = $1) AS "known!"
