-- Notes that settings of a plugin $1 were changed: $2 which, $3 by whom. Uses projections_pkey, events_pkey.
INSERT INTO eventfabric.plugin_deployments (plugin_name, sha256, action, source, log_position, by)
SELECT $1, p.active_sha256, 'config', $2,
       (SELECT coalesce(max(global_position), 0) FROM eventfabric.events), $3
FROM eventfabric.projections p
WHERE p.projection_name = $1
