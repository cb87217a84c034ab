-- What is in the log, by type and schema version, by kind of aggregate, and over all: $1 tenant (NULL
-- for all). Reads every event.
SELECT type AS "event_type?", version AS "schema_version?", aggregate_name AS "aggregate?",
       count(*) AS "events!", count(dismissed_at) AS "dismissed!",
       min(global_position) AS first_position, max(global_position) AS last_position,
       min(occurred_at) AS first_occurred_at, max(occurred_at) AS last_occurred_at
FROM eventfabric.events
WHERE $1::text IS NULL OR tenant_id = $1
GROUP BY GROUPING SETS ((type, version), (aggregate_name), ())
ORDER BY type, version, aggregate_name
