-- Deletes snapshots: $1 tenant, $2 aggregate, $3 id, each NULL for all. Uses snapshots_pkey.
DELETE FROM eventfabric.snapshots
WHERE ($1::text IS NULL OR tenant_id = $1)
  AND ($2::text IS NULL OR aggregate_name = $2)
  AND ($3::text IS NULL OR aggregate_id = $3)
