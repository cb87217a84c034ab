-- Ends the work on a projection's older events. Waits for the workers of the queue that have counted on
-- it. Uses projection_backfills_pkey.
DELETE FROM eventfabric.projection_backfills WHERE projection_name = $1
