-- Those of the positions $2 that a projection has not handled, though it has passed them: they wait
-- for it in the outbox ($3: it is an async one) or parked, are being tried again, were given up, or were
-- dismissed before. Letters and rows without a projection stand for all. Uses outbox_global_idx,
-- projection_retries_pkey, projection_parked_projection_idx, outbox_dlq_projection_idx,
-- dismissed_deliveries_pkey.
SELECT p.position AS "position!"
FROM unnest($2::bigint[]) AS p (position)
WHERE $3 AND EXISTS (SELECT FROM eventfabric.outbox o WHERE o.global_position = p.position)
   OR EXISTS (SELECT FROM eventfabric.projection_retries r
              WHERE r.projection_name = $1 AND r.global_position = p.position)
   OR p.position IN (SELECT unnest(k.positions)
                     FROM eventfabric.projection_parked k
                     WHERE k.projection_name = $1
                       AND k.last_position >= (SELECT min(n) FROM unnest($2::bigint[]) AS n)
                       AND k.first_position <= (SELECT max(n) FROM unnest($2::bigint[]) AS n))
   OR EXISTS (SELECT FROM eventfabric.outbox_dead_letters l
              WHERE (l.projection_name = $1 OR $3 AND l.projection_name IS NULL)
                AND l.global_position = p.position)
   OR EXISTS (SELECT FROM eventfabric.dismissed_deliveries d
              WHERE d.global_position = p.position
                AND (d.projection_name = $1 OR $3 AND d.projection_name = ''))
