-- What kind of server this is, and the settings that matter to a host; time-outs that this session has set
-- itself are its own business.
SELECT current_setting('server_version') AS "version!",
       current_setting('server_version_num')::int AS "number!",
       pg_catalog.pg_is_in_recovery() AS "standby!",
       current_setting('transaction_read_only')::bool AS "read_only!",
       extract(epoch FROM pg_catalog.clock_timestamp())::float8 AS "clock!",
       current_setting('synchronous_commit') AS "synchronous_commit!",
       current_setting('fsync')::bool AS "fsync!",
       current_setting('full_page_writes')::bool AS "full_page_writes!",
       current_setting('autovacuum')::bool AND current_setting('track_counts')::bool
           AS "autovacuum!",
       current_setting('max_connections')::int
           - current_setting('superuser_reserved_connections')::int AS "connections!",
       ARRAY(SELECT name || ' = ' || setting || coalesce(unit, '')
             FROM pg_catalog.pg_settings
             WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout',
                            'transaction_timeout', 'statement_timeout', 'lock_timeout')
               AND setting <> '0' AND source NOT IN ('client', 'session')
             ORDER BY name) AS "timeouts!",
       (SELECT pg_catalog.age(d.datfrozenxid) FROM pg_catalog.pg_database d
        WHERE d.datname = pg_catalog.current_database()) AS "age!"
