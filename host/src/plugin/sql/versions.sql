-- The versions of a plugin that were active, the newest first: $1 plugin. Uses plugin_versions_pkey.
SELECT v.sha256 AS version, octet_length(v.bytes)::bigint AS "bytes!", v.description,
       v.imports, v.deployed_at, v.deployed_by, v.source,
       (p.active_sha256 IS NOT NULL) AS "active!", p.state AS "state?", p.last_error,
       EXISTS (SELECT FROM eventfabric.projections n
               WHERE n.projection_name = $1 AND n.next_sha256 = v.sha256) AS "waiting!",
       (SELECT d.error FROM eventfabric.plugin_deployments d
        WHERE d.plugin_name = $1 AND d.action = 'fallback' AND d.replaced_sha256 = v.sha256
        ORDER BY d.deployment_id DESC LIMIT 1) AS fell
FROM eventfabric.plugin_versions v
LEFT JOIN eventfabric.projections p
       ON p.projection_name = v.plugin_name AND p.active_sha256 = v.sha256
WHERE v.plugin_name = $1
ORDER BY v.deployed_at DESC, v.sha256
