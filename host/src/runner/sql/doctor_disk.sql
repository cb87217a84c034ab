-- Where the server has its data, for a role that may know, and what tells this server from another one: since when it
-- runs, its port, and the process that answers.
SELECT (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'data_directory') AS data,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::bigint AS "began!",
       pg_catalog.current_setting('port')::integer AS "port!",
       pg_catalog.pg_backend_pid() AS "pid!"
