-- The version of a stream and, where $4 asks for it, its snapshot. No row for a stream that was
-- never started. Uses stream_versions_pkey and snapshots_pkey.
SELECT v.current_version, s.aggregate_version AS "version?",
       s.snapshot_schema_version AS "schema_version?", s.created_at AS "created_at?",
       s.rebuild_requested_at, s.state::text AS state
FROM eventfabric.stream_versions v
LEFT JOIN eventfabric.snapshots s
       ON $4::bool AND s.tenant_id = v.tenant_id AND s.aggregate_name = v.aggregate_name
      AND s.aggregate_id = v.aggregate_id
WHERE v.tenant_id = $1 AND v.aggregate_name = $2 AND v.aggregate_id = $3
