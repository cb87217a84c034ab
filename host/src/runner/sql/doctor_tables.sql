-- The tables whose rows come and go: rows, dead ones, and size, as the server has counted them.
SELECT s.relname::text AS "name!", s.n_live_tup AS "live!", s.n_dead_tup AS "dead!",
       pg_catalog.pg_total_relation_size(s.relid) AS "bytes!",
       greatest(s.last_autovacuum, s.last_vacuum) AS vacuumed_at
FROM pg_catalog.pg_stat_user_tables s
WHERE s.schemaname = 'eventfabric'
  AND s.relname IN ('outbox', 'projection_retries', 'projection_parked', 'projection_checkpoints', 'stream_versions',
                    'snapshots', 'hosts')
ORDER BY s.relname
