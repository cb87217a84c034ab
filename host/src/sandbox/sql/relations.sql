-- What a migration has made so far: relations of the schema $1 without those of the server's own, and
-- locks on relations that this transaction holds to its end.
SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'i', 'I', 'S', 'v', 'm')),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks
        WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'relation')
