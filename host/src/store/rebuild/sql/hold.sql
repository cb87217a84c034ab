-- Keeps a rebuild from being begun anew until the transaction ends, and the projection from being
-- changed: $2 rebuild. Answers the active version and what was decided for the projection.
-- Uses projection_rebuilds_pkey, projections_pkey.
SELECT p.active_sha256 AS version, p.topics, p.starts_after
FROM eventfabric.projections p
JOIN eventfabric.projection_rebuilds r USING (projection_name)
WHERE p.projection_name = $1 AND r.rebuild_id = $2
FOR NO KEY UPDATE
