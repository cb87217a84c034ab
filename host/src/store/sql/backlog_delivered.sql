-- How many rows of the outbox were ever taken out of it, as the server has counted.
SELECT coalesce(pg_catalog.pg_stat_get_tuples_deleted('eventfabric.outbox'::regclass), 0) AS "rows!"
