-- Puts a detached partition back into the log.
SELECT eventfabric.attach_partition($1)::text AS done
