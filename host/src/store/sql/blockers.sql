-- Who may hold the delivery up: transactions of this database that are open for $1 seconds or longer,
-- those that others wait for, and prepared ones of that age, the oldest first. `blocks`: the sessions
-- that wait for it. `holds_log`: it may still add an event, so the safe head can't pass it. (To see more
-- of other users' sessions than that they are there takes a member of pg_monitor.)
WITH waiting AS (
    SELECT a.pid, b.pid AS blocker
    FROM pg_catalog.pg_stat_activity a
    CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(a.pid)) AS b (pid)
    WHERE a.datname = pg_catalog.current_database() AND a.wait_event_type = 'Lock'
),
writers AS (
    SELECT DISTINCT l.pid, l.virtualtransaction
    FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
      AND l.database = (SELECT oid FROM pg_catalog.pg_database
                        WHERE datname = pg_catalog.current_database())
      AND l.relation IN (SELECT 'eventfabric.events'::regclass
                         UNION ALL
                         SELECT t.relid FROM pg_catalog.pg_partition_tree('eventfabric.events') t)
)
SELECT a.pid AS "pid?", NULL::text AS "gid?",
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS "seconds?",
       a.state AS "state?", a.usename::text AS "user?",
       nullif(a.application_name, '') AS "application?", host(a.client_addr) AS "client?",
       CASE WHEN a.state <> 'idle in transaction' THEN a.wait_event END AS "waits_for?",
       pg_catalog.left(pg_catalog.regexp_replace(a.query, '\s+', ' ', 'g'), 200) AS "query?",
       a.pid IN (SELECT w.pid FROM writers w WHERE w.pid IS NOT NULL) AS "holds_log!",
       ARRAY(SELECT w.pid FROM waiting w WHERE w.blocker = a.pid ORDER BY 1) AS "blocks!",
       ARRAY(SELECT w.blocker FROM waiting w WHERE w.pid = a.pid ORDER BY 1) AS "blocked_by!"
FROM pg_catalog.pg_stat_activity a
WHERE a.datname = pg_catalog.current_database()
  AND a.backend_type = 'client backend'
  AND a.pid <> pg_catalog.pg_backend_pid()
  AND (a.xact_start < pg_catalog.clock_timestamp() - make_interval(secs => $1::float8)
       OR a.pid IN (SELECT w.blocker FROM waiting w))
UNION ALL
SELECT NULL, p.gid, extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8, 'prepared',
       p.owner::text, NULL, NULL, NULL, NULL,
       -- It goes by another virtual id than before; its lock on its own id has the same.
       EXISTS (SELECT FROM writers w
               JOIN pg_catalog.pg_locks own USING (virtualtransaction)
               WHERE own.locktype = 'transactionid' AND own.transactionid = p.transaction),
       ARRAY(SELECT w.pid FROM waiting w WHERE w.blocker = 0 ORDER BY 1), ARRAY[]::int[]
FROM pg_catalog.pg_prepared_xacts p
WHERE p.database = pg_catalog.current_database()
  AND (p.prepared < pg_catalog.clock_timestamp() - make_interval(secs => $1::float8)
       OR EXISTS (SELECT FROM waiting w WHERE w.blocker = 0))
ORDER BY 3 DESC NULLS LAST
LIMIT 100
