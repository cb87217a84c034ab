-- Makes a dead letter of an event that was never put aside: $1 projection, $2 version of the plugin,
-- $3 position, $4 tenant, $5 aggregate, $6 its id, $7 topic, $8 attempts, $9 error, $10 its class,
-- $11 SQLSTATE, $12 the statement that failed, $13 seconds since the first failure. An older letter of
-- the same event and projection goes. Uses outbox_dlq_projection_idx.
WITH older AS (
    DELETE FROM eventfabric.outbox_dead_letters
    WHERE projection_name = $1 AND global_position = $3
)
INSERT INTO eventfabric.outbox_dead_letters
       (projection_name, plugin_version, outbox_id, global_position, tenant_id, aggregate_name,
        aggregate_id, topic, attempts, last_error, error_class, sqlstate, failed_sql,
        first_failed_at)
VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
        now() - make_interval(secs => $13::float8))
