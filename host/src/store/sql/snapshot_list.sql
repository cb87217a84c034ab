-- Snapshots in the order of their key, after a key: $1 tenant, $2 aggregate, $3 id (each NULL: all),
-- $4 only those to be made anew, $5..$7 the key to begin after (NULL: from the beginning), $8 how
-- many. Uses snapshots_pkey.
SELECT s.tenant_id AS tenant, s.aggregate_name AS aggregate, s.aggregate_id AS id,
       s.aggregate_version AS version, v.current_version AS "stream_version?",
       s.snapshot_schema_version AS schema_version, s.created_at, s.rebuild_requested_at,
       pg_catalog.pg_column_size(s.state) AS "stored_bytes!"
FROM eventfabric.snapshots s
LEFT JOIN eventfabric.stream_versions v USING (tenant_id, aggregate_name, aggregate_id)
WHERE ($1::text IS NULL OR s.tenant_id = $1)
  AND ($2::text IS NULL OR s.aggregate_name = $2)
  AND ($3::text IS NULL OR s.aggregate_id = $3)
  AND (NOT $4::bool OR s.rebuild_requested_at IS NOT NULL)
  AND ($5::text IS NULL
       OR (s.tenant_id, s.aggregate_name, s.aggregate_id) > ($5, $6::text, $7::text))
ORDER BY s.tenant_id, s.aggregate_name, s.aggregate_id
LIMIT $8
