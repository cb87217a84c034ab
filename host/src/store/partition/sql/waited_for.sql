-- Who has not handled all events at $1 and later, before $2: catch-up projections that have begun and
-- not come so far, and what is queued for async ones, or still to be read for them.
SELECT DISTINCT c.projection_name AS "who!"
FROM eventfabric.projection_checkpoints c
WHERE c.last_global_position < $2::bigint - 1
  AND EXISTS (SELECT FROM eventfabric.events e
              WHERE e.tenant_id = c.tenant_id
                AND e.global_position >= greatest($1::bigint, c.last_global_position + 1)
                AND e.global_position < $2)
UNION
SELECT p.projection_name
FROM eventfabric.projections p
WHERE p.mode = 'catch-up'
  AND NOT EXISTS (SELECT FROM eventfabric.projection_checkpoints c
                  WHERE c.projection_name = p.projection_name)
UNION
SELECT DISTINCT r.projection_name || ' (retries)'
FROM eventfabric.projection_retries r
WHERE r.global_position >= $1 AND r.global_position < $2
UNION
SELECT k.projection_name || ' (retries)'
FROM eventfabric.projection_parked k
WHERE k.first_position < $2 AND k.last_position >= $1
  AND EXISTS (SELECT FROM unnest(k.positions) AS n (position)
              WHERE n.position >= $1 AND n.position < $2)
UNION
SELECT b.projection_name || ' (older events)'
FROM eventfabric.projection_backfills b
WHERE b.last_position < $2::bigint - 1
UNION
(SELECT 'the outbox'
 FROM eventfabric.outbox o
 WHERE o.global_position >= $1 AND o.global_position < $2
 LIMIT 1)
ORDER BY 1
