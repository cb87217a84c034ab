-- The hosts that were heard of within the last minute. Reads a small table as a whole.
SELECT h.name, h.version, h.started_at, h.seen_at,
       extract(epoch FROM clock_timestamp() - h.seen_at)::float8 AS "silent_seconds!"
FROM eventfabric.hosts h
WHERE h.seen_at > now() - interval '1 minute'
ORDER BY h.started_at, h.host_id
