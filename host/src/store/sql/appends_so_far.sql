-- How often a stream was ever appended to, as the server has counted.
SELECT (coalesce(pg_catalog.pg_stat_get_tuples_inserted('eventfabric.stream_versions'::regclass), 0)
      + coalesce(pg_catalog.pg_stat_get_tuples_updated('eventfabric.stream_versions'::regclass), 0)
       ) AS "appends!"
