-- Deletes the lines of plugins $1 before their last $2. Uses plugin_logs_plugin_idx.
DELETE FROM eventfabric.plugin_logs l
USING unnest($1::text[]) AS p (name)
WHERE l.plugin_name = p.name
  AND l.log_id <= (SELECT o.log_id FROM eventfabric.plugin_logs o
                   WHERE o.plugin_name = p.name
                   ORDER BY o.log_id DESC OFFSET $2 LIMIT 1)
