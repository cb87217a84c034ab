-- For a session that changes the log's tables: $1 is how long it waits for a lock; what it does then
-- takes as long as it takes.
SELECT pg_catalog.set_config('lock_timeout', $1, false) AS "lock_timeout!",
       pg_catalog.set_config('statement_timeout', '0', false) AS "statement_timeout!"
