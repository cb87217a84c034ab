-- What the queue put aside for a projection while it was on its way through older events, up to $2: it
-- came by these events in the log. Uses projection_retries_pkey.
DELETE FROM eventfabric.projection_retries
WHERE projection_name = $1 AND global_position <= $2 AND outbox_id <> 0
