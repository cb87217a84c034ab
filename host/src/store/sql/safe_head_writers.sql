-- The transactions that may have taken a position and not yet shown it: those that hold the lock
-- under which rows are inserted into the log or one of its partitions. A prepared transaction has
-- no process, but a virtual id like all others.
SELECT DISTINCT l.virtualtransaction AS "id!"
FROM pg_catalog.pg_locks l
WHERE l.locktype = 'relation'
  AND l.mode = 'RowExclusiveLock'
  AND l.granted
  AND l.database = (SELECT oid FROM pg_catalog.pg_database
                    WHERE datname = pg_catalog.current_database())
  AND l.relation IN (SELECT 'eventfabric.events'::regclass
                     UNION ALL
                     SELECT t.relid FROM pg_catalog.pg_partition_tree('eventfabric.events') t)
