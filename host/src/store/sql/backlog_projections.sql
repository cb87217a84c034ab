-- What each async projection still has to do by itself, or has given up: $1 tenant (NULL for all). The
-- letters without a projection are the TypeScript library's, and stand for all.
SELECT projection_name AS projection, sum(retries)::bigint AS "retries!",
       sum(dead_letters)::bigint AS "dead_letters!", min(failed_at) AS first_failed_at,
       min(next_attempt_at) AS next_attempt_at
FROM (
    SELECT projection_name, count(*) AS retries, 0 AS dead_letters,
           min(first_failed_at) AS failed_at, min(next_attempt_at) AS next_attempt_at
    FROM eventfabric.projection_retries
    WHERE $1::text IS NULL OR tenant_id = $1
    GROUP BY projection_name
    UNION ALL
    SELECT projection_name, sum(events), 0, min(parked_at), min(parked_at)
    FROM eventfabric.projection_parked
    WHERE $1::text IS NULL OR tenant_id = $1
    GROUP BY projection_name
    UNION ALL
    SELECT projection_name, 0, count(*), min(first_failed_at), NULL
    FROM eventfabric.outbox_dead_letters
    WHERE $1::text IS NULL OR tenant_id = $1
    GROUP BY projection_name
) work
GROUP BY projection_name
ORDER BY projection_name NULLS LAST
