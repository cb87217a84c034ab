-- Takes the oldest outbox rows that nobody works on, for the length of the transaction: $1 how
-- many, $2 seconds after which the claim of another program's worker is taken to be dead. While
-- such a worker holds a fresh claim, the queue is its. $3: the async projections that the caller
-- knows (as mode_epoch.sql numbers them); where others are registered nothing is claimed, so none is
-- left out. A row whose event is gone (taken out of the log by hand) has NULL for it.
-- OFFSET 0 has the events looked up one by one: of a log that is small, the planner would read all of it.
-- Uses outbox_pkey, outbox_foreign_claims_idx, events_global_idx.
WITH claimed AS (
    SELECT o.id, o.global_position, o.topic
    FROM eventfabric.outbox o
    WHERE o.dead_lettered_at IS NULL
      AND (o.locked_at IS NULL OR o.locked_at < now() - make_interval(secs => $2::float8))
      AND (SELECT coalesce(sum(p.generation), 0)::bigint
           FROM eventfabric.projections p
           WHERE p.mode = 'async') = $3::bigint
      AND NOT EXISTS (SELECT FROM eventfabric.outbox f
                      WHERE f.locked_at >= now() - make_interval(secs => $2::float8)
                        AND f.dead_lettered_at IS NULL)
    ORDER BY o.id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
SELECT o.id AS "outbox_id!",
       e.global_position AS "position?", e.event_id AS "event_id?", e.tenant_id AS "tenant?",
       e.aggregate_name AS "aggregate?", e.aggregate_id AS "aggregate_id?",
       e.aggregate_version AS "version?", e.type AS "event_type?", e.version AS "schema_version?",
       e.payload::text AS "payload?", e.occurred_at AS "occurred_at?", e.correlation_id, e.causation_id,
       e.dismissed_at, o.topic
FROM claimed o
LEFT JOIN LATERAL (
    SELECT * FROM eventfabric.events e WHERE e.global_position = o.global_position OFFSET 0
) e ON true
ORDER BY o.id
