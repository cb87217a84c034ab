-- How many rows wait in the outbox.
SELECT count(*) AS "depth!" FROM eventfabric.outbox WHERE dead_lettered_at IS NULL
