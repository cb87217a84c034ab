-- How each projection stands, or the one named $2. A catch-up projection stands where its slowest tenant does; an async
-- one has retries and dead letters, and the outbox in common with the others. $1: the tenants.
-- Each part of the log between two places where projections stand is counted once, however many stand before it.
-- Uses projections_pkey, projection_checkpoints_pkey, projection_shards_pkey, events_pkey, outbox_pkey,
-- projection_retries_due_idx, projection_parked_projection_idx, projection_backfills_pkey, projection_costs_pkey.
WITH stands AS MATERIALIZED (
    SELECT p.projection_name, t.tenant_id, coalesce(k.shards, 1) AS shards, coalesce(k.shard, 0) AS shard,
           coalesce(k.last_global_position, 0) AS position,
           greatest(coalesce(k.last_global_position, 0), p.starts_after) AS place,
           k.owner, k.updated_at
    FROM eventfabric.projections p
    CROSS JOIN unnest($1::text[]) AS t (tenant_id)
    LEFT JOIN eventfabric.projection_positions k
           ON k.projection_name = p.projection_name AND k.tenant_id = t.tenant_id
    WHERE p.mode = 'catch-up' AND ($2::text IS NULL OR p.projection_name = $2)
), parts AS (
    SELECT tenant_id, shards, shard, place,
           lead(place, 1, 9223372036854775807)
               OVER (PARTITION BY tenant_id, shards, shard ORDER BY place) AS until
    FROM (SELECT DISTINCT tenant_id, shards, shard, place FROM stands) places
), waiting AS MATERIALIZED (
    SELECT p.tenant_id, p.shards, p.shard, p.place,
           sum(n.events) OVER later AS behind, min(n.oldest) OVER later AS oldest
    FROM parts p
    CROSS JOIN LATERAL (
        SELECT count(*) AS events, min(e.occurred_at) AS oldest
        FROM (SELECT occurred_at FROM eventfabric.events
              WHERE global_position > p.place AND global_position <= p.until
                AND tenant_id = p.tenant_id
                AND (p.shards = 1 OR eventfabric.shard_of(aggregate_id, p.shards) = p.shard)
              LIMIT 1000000) e
    ) n
    WINDOW later AS (PARTITION BY p.tenant_id, p.shards, p.shard ORDER BY p.place DESC)
), catching_up AS MATERIALIZED (
    SELECT s.projection_name, min(s.position) AS position,
           sum(least(w.behind, 1000000))::bigint AS behind, min(w.oldest) AS oldest,
           array_agg(DISTINCT s.owner ORDER BY s.owner)
               FILTER (WHERE s.owner IS NOT NULL AND s.updated_at > now() - interval '1 minute')
               AS owners
    FROM stands s
    JOIN waiting w USING (tenant_id, shards, shard, place)
    GROUP BY s.projection_name
), queued AS MATERIALIZED (
    SELECT (SELECT count(*) FROM (SELECT FROM eventfabric.outbox
                                  WHERE dead_lettered_at IS NULL LIMIT 1000000) o) AS events,
           (SELECT created_at FROM eventfabric.outbox
            WHERE dead_lettered_at IS NULL ORDER BY id LIMIT 1) AS oldest
)
SELECT p.projection_name AS name, p.mode, p.active_sha256 AS version, p.state, p.last_error, p.shards,
       p.paused_at, p.paused_by, p.pause_reason,
       (SELECT coalesce(max(global_position), 0) FROM eventfabric.events) AS "log_end!",
       c.position AS "position?",
       coalesce(c.behind, 0) AS "behind!", coalesce(c.owners, '{}') AS "owners!",
       r.retries AS "retries!",
       (SELECT count(*) FROM eventfabric.outbox_dead_letters d
        WHERE d.projection_name = p.projection_name) AS "dead_letters!",
       coalesce(q.events, 0) AS "queued!",
       coalesce((SELECT greatest(coalesce(f.target,
                                          (SELECT max(global_position) FROM eventfabric.events), 0)
                                 - f.last_position, 0)
                 FROM eventfabric.projection_backfills f
                 WHERE f.projection_name = p.projection_name), 0) AS "backfill!",
       coalesce(greatest(extract(epoch FROM now() - least(c.oldest, r.oldest, q.oldest))::float8, 0),
                0) AS "lag_seconds!",
       b.plugin_version AS "rebuild_version?", b.starts_after AS "rebuild_starts_after?",
       b.target_position AS "rebuild_target?", b.shards AS "rebuild_shards?",
       b.last_error AS "rebuild_error?", b.started_at AS "rebuild_started_at?",
       s.position AS "rebuild_position?", s.events AS "rebuild_events?",
       w.calls AS "calls?", w.events AS "events!", w.failed_calls AS "failed_calls!", w.wasm_us AS "wasm_us!",
       w.sql_us AS "sql_us!", w.statements AS "statements!", w.rows_read AS "rows_read!",
       w.rows_written AS "rows_written!", w.bytes AS "bytes!",
       -- The session that claim.sql has made the only one.
       EXISTS (SELECT FROM pg_catalog.pg_locks l
               WHERE b.projection_name IS NOT NULL
                 AND l.locktype = 'advisory' AND l.objsubid = 1
                 AND l.database = (SELECT oid FROM pg_catalog.pg_database
                                   WHERE datname = pg_catalog.current_database())
                 AND (l.classid::bigint << 32) | l.objid::bigint
                     = pg_catalog.hashtextextended('eventfabric rebuild ' || p.projection_name, 0)
              ) AS "rebuild_running!"
FROM eventfabric.projections p
LEFT JOIN catching_up c ON c.projection_name = p.projection_name
LEFT JOIN queued q ON p.mode = 'async'
CROSS JOIN LATERAL (
    SELECT sum(n)::bigint AS retries, min(since) AS oldest
    FROM (SELECT count(*) AS n, min(first_failed_at) AS since
          FROM eventfabric.projection_retries
          WHERE projection_name = p.projection_name
          UNION ALL
          SELECT coalesce(sum(events), 0), min(parked_at)
          FROM eventfabric.projection_parked
          WHERE projection_name = p.projection_name) waiting
) r
LEFT JOIN eventfabric.projection_rebuilds b ON b.projection_name = p.projection_name
LEFT JOIN LATERAL (
    SELECT min(last_global_position) AS position, sum(events)::bigint AS events
    FROM eventfabric.projection_rebuild_shards
    WHERE projection_name = b.projection_name
) s ON true
LEFT JOIN LATERAL (
    SELECT sum(calls)::bigint AS calls, coalesce(sum(events), 0)::bigint AS events,
           coalesce(sum(failed_calls), 0)::bigint AS failed_calls, coalesce(sum(wasm_us), 0)::bigint AS wasm_us,
           coalesce(sum(sql_us), 0)::bigint AS sql_us, coalesce(sum(statements), 0)::bigint AS statements,
           coalesce(sum(rows_read), 0)::bigint AS rows_read,
           coalesce(sum(rows_written), 0)::bigint AS rows_written, coalesce(sum(bytes), 0)::bigint AS bytes
    FROM eventfabric.projection_costs
    WHERE projection_name = p.projection_name AND version = p.active_sha256
) w ON true
WHERE $2::text IS NULL OR p.projection_name = $2
ORDER BY p.projection_name
