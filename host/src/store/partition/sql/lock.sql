-- Waits, as long as the session waits for locks, until no other one partitions the log ("ef-enabl" in
-- ASCII). Ends with the session.
SELECT pg_catalog.pg_advisory_lock(7306577359122031212)::text AS locked
