-- Puts events aside for one projection: $1 projection, $2 version of the plugin, $3 outbox ids (0: from
-- the log), $4 positions, $5 tenants, $6 aggregates, $7 their ids, $8 topics, $9 attempts so far,
-- $10 seconds until the next one, $11 errors, $12 whether they are held. What comes from the log takes
-- the place of what the queue had for later. Uses projection_retries_pkey.
INSERT INTO eventfabric.projection_retries AS r
       (projection_name, plugin_version, outbox_id, global_position, tenant_id, aggregate_name,
        aggregate_id, topic, attempts, next_attempt_at, last_error, held)
SELECT $1, $2, n.outbox_id, n.global_position, n.tenant_id, n.aggregate_name, n.aggregate_id, n.topic,
       n.attempts, now() + make_interval(secs => n.delay), n.error, n.held
FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[],
            $10::float8[], $11::text[], $12::bool[])
     AS n (outbox_id, global_position, tenant_id, aggregate_name, aggregate_id, topic, attempts, delay,
           error, held)
ON CONFLICT (projection_name, global_position) DO UPDATE
    SET outbox_id = 0, attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at,
        last_error = excluded.last_error, plugin_version = excluded.plugin_version,
        held = excluded.held
    WHERE excluded.outbox_id = 0 AND r.outbox_id <> 0
