-- Turns a retry into a dead letter: $3 attempts, $4 error, $5 version of the plugin.
-- Uses projection_retries_pkey.
WITH gone AS (
    DELETE FROM eventfabric.projection_retries
    WHERE projection_name = $1 AND global_position = $2
    RETURNING outbox_id, global_position, topic, tenant_id, first_failed_at
)
INSERT INTO eventfabric.outbox_dead_letters
       (outbox_id, global_position, topic, attempts, last_error, tenant_id, projection_name,
        plugin_version, first_failed_at)
SELECT outbox_id, global_position, topic, $3, $4, tenant_id, $1, $5, first_failed_at
FROM gone
