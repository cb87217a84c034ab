-- Waits until no other transaction delivers to this projection, and keeps others from it until this
-- one ends. The first number is the host's own, "evf1" in ASCII.
SELECT pg_catalog.pg_advisory_xact_lock(1702258225, pg_catalog.hashtext($1))
