-- What became of the versions of a plugin, the newest first: $1 plugin, $2 how many.
-- Uses plugin_deployments_plugin_idx.
SELECT deployment_id AS id, sha256 AS version, action, replaced_sha256 AS replaced, tried, trial,
       rebuilt, error, log_position, at, by, source
FROM eventfabric.plugin_deployments
WHERE plugin_name = $1
ORDER BY deployment_id DESC
LIMIT $2
