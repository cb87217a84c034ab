-- How far the work on a projection's older events goes: to the greatest position that is visible now.
-- Whoever took an event from the outbox without this projection saw no greater one.
-- Uses projection_backfills_pkey, events_pkey.
UPDATE eventfabric.projection_backfills
SET target = (SELECT coalesce(max(global_position), 0) FROM eventfabric.events)
WHERE projection_name = $1
RETURNING target AS "target!"
