-- Forgets what a projection was to try again, or has given up, after the position $2: it will read these
-- events anew. Uses projection_retries_pkey, outbox_dlq_projection_idx.
WITH retries AS (
    DELETE FROM eventfabric.projection_retries
    WHERE projection_name = $1 AND global_position > $2
),
dismissed AS (
    DELETE FROM eventfabric.dismissed_deliveries
    WHERE projection_name = $1 AND global_position > $2
)
DELETE FROM eventfabric.outbox_dead_letters
WHERE projection_name = $1 AND global_position > $2
