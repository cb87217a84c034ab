-- Ends the dismissal of events: $1 positions. The trigger does the rest. Uses events_pkey.
UPDATE eventfabric.events
SET dismissed_at = NULL, dismissed_reason = NULL, dismissed_by = NULL
WHERE global_position = ANY ($1::bigint[])
