-- Streams by kind of aggregate: $1 tenant (NULL for all). A stream is there when it has an event, or
-- was started without one. Uses stream_versions_pkey.
SELECT aggregate_name AS aggregate, count(*) AS "streams!"
FROM eventfabric.stream_versions
WHERE $1::text IS NULL OR tenant_id = $1
GROUP BY aggregate_name
ORDER BY aggregate_name
