-- Notes what became of a version: $1 plugin, $2 SHA-256, $3 action, $4 the version before, $5 events tried,
-- $6 error, $7 by whom, $8 from where, $9 how the trial went, $10 it came with tables of its own. The same
-- refusal again and again is noted once.
-- Uses plugin_deployments_plugin_idx, events_pkey.
INSERT INTO eventfabric.plugin_deployments
       (plugin_name, sha256, action, replaced_sha256, tried, error, by, source, trial, rebuilt,
        log_position)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
       (SELECT coalesce(max(global_position), 0) FROM eventfabric.events)
WHERE $6::text IS NULL
   OR $3 = 'fallback'
   OR (SELECT (last.sha256, last.error) IS DISTINCT FROM ($2, $6)
       FROM eventfabric.plugin_deployments last
       WHERE last.plugin_name = $1
       ORDER BY last.deployment_id DESC LIMIT 1) IS NOT FALSE
