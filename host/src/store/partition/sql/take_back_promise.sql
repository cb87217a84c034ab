-- The log was not partitioned: new rows may have any position again.
ALTER TABLE eventfabric.events DROP CONSTRAINT IF EXISTS events_p0_range
