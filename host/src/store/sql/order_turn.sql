-- Whether this transaction is the one that retries for this projection, until it ends. The first number
-- is the host's own, "evf2" in ASCII.
SELECT pg_catalog.pg_try_advisory_xact_lock(1702258226, pg_catalog.hashtext($1)) AS "taken!"
