-- Puts events aside for one projection: $1 projection, $2 version of the plugin, $3 outbox ids,
-- $4 positions, $5 tenants, $6 topics, $7 attempts so far, $8 seconds until the next one, $9 errors.
INSERT INTO eventfabric.projection_retries
       (projection_name, plugin_version, outbox_id, global_position, tenant_id, topic, attempts,
        next_attempt_at, last_error)
SELECT $1, $2, r.outbox_id, r.global_position, r.tenant_id, r.topic, r.attempts,
       now() + make_interval(secs => r.delay), r.error
FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::int[], $8::float8[],
            $9::text[])
     AS r (outbox_id, global_position, tenant_id, topic, attempts, delay, error)
ON CONFLICT (projection_name, global_position) DO NOTHING
