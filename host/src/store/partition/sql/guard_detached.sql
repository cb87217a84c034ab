-- Nobody changes the rows of a detached partition.
SELECT eventfabric.guard_detached(c.oid)::text AS done
FROM pg_catalog.pg_class c
WHERE c.relname = $1 AND c.relnamespace = 'eventfabric'::regnamespace
