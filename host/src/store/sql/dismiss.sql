-- Dismisses events: $1 positions, $2 reason, $3 by whom. A trigger keeps the record, takes the events
-- out of the queues and drops the snapshots that hold them. Uses events_pkey.
UPDATE eventfabric.events
SET dismissed_at = now(), dismissed_reason = $2, dismissed_by = $3
WHERE global_position = ANY ($1::bigint[])
