-- The kinds of aggregates of the tenant $1, at most $2: one step in the index for each. Uses
-- stream_versions_pkey.
WITH RECURSIVE kinds AS (
    (SELECT s.aggregate_name FROM eventfabric.stream_versions s
     WHERE s.tenant_id = $1 ORDER BY s.aggregate_name LIMIT 1)
    UNION ALL
    SELECT (SELECT s.aggregate_name FROM eventfabric.stream_versions s
            WHERE s.tenant_id = $1 AND s.aggregate_name > k.aggregate_name
            ORDER BY s.aggregate_name LIMIT 1)
    FROM kinds k WHERE k.aggregate_name IS NOT NULL
)
SELECT k.aggregate_name AS "aggregate!" FROM kinds k WHERE k.aggregate_name IS NOT NULL LIMIT $2
