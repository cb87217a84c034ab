-- Forgets the tables that are kept of a projection: $1 its name, $2 by whom. Uses projections_pkey,
-- projection_kept_pkey, events_pkey.
WITH kept AS (
    DELETE FROM eventfabric.projection_kept WHERE projection_name = $1 RETURNING plugin_version
)
INSERT INTO eventfabric.plugin_deployments
       (plugin_name, sha256, action, replaced_sha256, log_position, by)
SELECT $1, p.active_sha256, 'retire', (SELECT plugin_version FROM kept),
       (SELECT coalesce(max(global_position), 0) FROM eventfabric.events), $2
FROM eventfabric.projections p
WHERE p.projection_name = $1
RETURNING deployment_id
