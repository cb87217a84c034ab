-- Forgets the traces that were stored more than $2 seconds ago, of the first $3 after the position $1, and tells the
-- greatest position of those. What another host has in hand is passed over. Uses event_traces_pkey.
WITH oldest AS MATERIALIZED (
    SELECT t.global_position, t.stored_at
    FROM eventfabric.event_traces t
    WHERE t.global_position > $1
    ORDER BY t.global_position
    LIMIT $3
),
old AS MATERIALIZED (
    SELECT t.global_position
    FROM eventfabric.event_traces t
    JOIN oldest o ON o.global_position = t.global_position
    -- Said at each look, or one plan for all walks the index from its beginning.
    WHERE t.global_position > $1 AND o.stored_at < now() - make_interval(secs => $2::float8)
    FOR UPDATE OF t SKIP LOCKED
),
forgotten AS (
    DELETE FROM eventfabric.event_traces t
    USING old o
    WHERE t.global_position > $1 AND t.global_position = o.global_position
    RETURNING t.global_position
)
SELECT max(f.global_position) AS last FROM forgotten f
