-- What follows the head $1: the first run of positions without a hole among the next $2 events, and
-- the greatest position of all. Uses events_pkey.
WITH next AS (
    SELECT global_position AS p
    FROM eventfabric.events
    WHERE global_position > $1
    ORDER BY global_position
    LIMIT $2
)
SELECT (SELECT coalesce(max(global_position), 0) FROM eventfabric.events) AS "visible!",
       run.first AS "first?", run.last AS "last?"
FROM (SELECT 1) one
LEFT JOIN (
    SELECT min(p) AS first, max(p) AS last
    FROM (SELECT p, p - row_number() OVER (ORDER BY p) AS run FROM next) numbered
    GROUP BY run
    ORDER BY 1
    LIMIT 1
) run ON true
