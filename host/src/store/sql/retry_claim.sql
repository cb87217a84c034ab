-- Takes due retries of a projection for the length of the transaction: $1 projection, $2 how many,
-- $3 the activation that the caller has loaded; under another one nothing is taken. $4: only what was
-- read from the log. Rows whose event is gone (taken out of the log by hand) are dropped.
-- Uses projection_retries_due_idx.
WITH claimed AS (
    SELECT r.global_position, r.topic, r.outbox_id, r.attempts, r.first_failed_at
    FROM eventfabric.projection_retries r
    WHERE r.projection_name = $1 AND NOT r.held AND r.next_attempt_at <= now()
      AND (NOT $4 OR r.outbox_id = 0)
      AND EXISTS (SELECT FROM eventfabric.projections p
                  WHERE p.projection_name = $1 AND p.generation = $3)
    ORDER BY r.next_attempt_at, r.global_position
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
orphans AS (
    DELETE FROM eventfabric.projection_retries r
    USING claimed c
    WHERE r.projection_name = $1 AND r.global_position = c.global_position
      AND NOT EXISTS (SELECT FROM eventfabric.events e WHERE e.global_position = c.global_position)
)
SELECT o.outbox_id AS "outbox_id!", o.attempts AS "attempts!",
       o.first_failed_at AS "first_failed_at!",
       e.global_position AS "position!", e.event_id AS "event_id!", e.tenant_id AS "tenant!",
       e.aggregate_name AS "aggregate!", e.aggregate_id AS "aggregate_id!",
       e.aggregate_version AS "version!", e.type AS "event_type!", e.version AS "schema_version!",
       e.payload::text AS "payload!", e.occurred_at AS "occurred_at!", e.correlation_id, e.causation_id,
       e.dismissed_at, o.topic
FROM claimed o
JOIN eventfabric.events e USING (global_position)
ORDER BY e.global_position
