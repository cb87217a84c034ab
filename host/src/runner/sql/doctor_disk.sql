-- Where the server has its data, for a role that may know.
SELECT (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'data_directory') AS data
