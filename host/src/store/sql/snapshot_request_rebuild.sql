-- Marks snapshots as to be made anew: $1 tenant, $2 aggregate, $3 id, each NULL for all. Uses
-- snapshots_pkey.
UPDATE eventfabric.snapshots
SET rebuild_requested_at = now()
WHERE ($1::text IS NULL OR tenant_id = $1)
  AND ($2::text IS NULL OR aggregate_name = $2)
  AND ($3::text IS NULL OR aggregate_id = $3)
