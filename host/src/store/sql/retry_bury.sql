-- Turns a retry into a dead letter: $1 projection, $2 position, $3 attempts, $4 error, $5 its class,
-- $6 SQLSTATE, $7 the statement that failed, $8 version of the plugin. An older letter of the same
-- event and projection goes. Uses projection_retries_pkey, outbox_dlq_projection_idx.
WITH gone AS (
    DELETE FROM eventfabric.projection_retries
    WHERE projection_name = $1 AND global_position = $2
    RETURNING outbox_id, global_position, topic, tenant_id, aggregate_name, aggregate_id,
              first_failed_at
),
older AS (
    DELETE FROM eventfabric.outbox_dead_letters
    WHERE projection_name = $1 AND global_position = $2
)
INSERT INTO eventfabric.outbox_dead_letters
       (outbox_id, global_position, topic, attempts, last_error, error_class, sqlstate, failed_sql,
        tenant_id, aggregate_name, aggregate_id, projection_name, plugin_version, first_failed_at)
SELECT outbox_id, global_position, topic, $3, $4, $5, $6, $7, tenant_id, aggregate_name,
       aggregate_id, $1, $8, first_failed_at
FROM gone
