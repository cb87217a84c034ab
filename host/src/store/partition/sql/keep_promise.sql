-- Looks whether the promise holds for all rows. SHARE UPDATE EXCLUSIVE on the log, for a full scan.
ALTER TABLE eventfabric.events VALIDATE CONSTRAINT events_p0_range
