-- Waits for the workers that deliver events ($1 positions) at this moment. It is done before the
-- log is written to, because readers of the log wait for whoever writes there.
-- Uses outbox_global_idx.
WITH queued AS (
    SELECT FROM eventfabric.outbox WHERE global_position = ANY ($1::bigint[])
    ORDER BY id
    FOR UPDATE
),
retried AS (
    SELECT FROM eventfabric.projection_retries WHERE global_position = ANY ($1::bigint[])
    ORDER BY projection_name, global_position
    FOR UPDATE
)
SELECT (SELECT count(*) FROM queued) + (SELECT count(*) FROM retried) AS "waiting!"
