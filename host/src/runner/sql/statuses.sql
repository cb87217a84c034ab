-- How each projection stands. A catch-up projection stands where its slowest tenant does; an async
-- one has retries and dead letters, and the outbox in common with the others.
SELECT p.projection_name AS name, p.mode, p.active_sha256 AS version, p.state, p.last_error,
       c.position AS "position?",
       coalesce(c.behind, 0) AS "behind!",
       c.oldest AS "oldest?",
       (SELECT count(*) FROM eventfabric.projection_retries r
        WHERE r.projection_name = p.projection_name) AS "retries!",
       (SELECT count(*) FROM eventfabric.outbox_dead_letters d
        WHERE d.projection_name = p.projection_name) AS "dead_letters!",
       (SELECT count(*) FROM (SELECT FROM eventfabric.outbox o
                              WHERE p.mode = 'async' AND o.dead_lettered_at IS NULL
                              LIMIT 1000000) queued) AS "queued!"
FROM eventfabric.projections p
LEFT JOIN LATERAL (
    SELECT min(coalesce(k.last_global_position, 0)) AS position,
           sum(n.behind)::bigint AS behind,
           min(n.oldest) AS oldest
    FROM (SELECT t.tenant_id FROM unnest($1::text[]) AS t (tenant_id)) t
    LEFT JOIN eventfabric.projection_checkpoints k
           ON k.projection_name = p.projection_name AND k.tenant_id = t.tenant_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS behind, min(e.occurred_at) AS oldest
        FROM (SELECT occurred_at FROM eventfabric.events
              WHERE global_position > coalesce(k.last_global_position, 0)
                AND tenant_id = t.tenant_id
              LIMIT 1000000) e
    ) n
    WHERE p.mode = 'catch-up'
) c ON true
ORDER BY p.projection_name
