-- When the next retry of each of these projections is due ($1), in seconds from now, negative when it
-- is overdue, at once where something is parked; and whether there are some that are held. One look into an index for
-- each. Uses projection_retries_due_idx, projection_retries_held_idx, projection_parked_projection_idx.
SELECT p.name AS "projection!",
       CASE WHEN EXISTS (SELECT FROM eventfabric.projection_parked k WHERE k.projection_name = p.name)
            THEN 0.0::float8
            ELSE (SELECT extract(epoch FROM r.next_attempt_at - now())::float8
                  FROM eventfabric.projection_retries r
                  WHERE r.projection_name = p.name AND NOT r.held
                  ORDER BY r.next_attempt_at
                  LIMIT 1)
       END AS seconds,
       EXISTS (SELECT FROM eventfabric.projection_retries h
               WHERE h.projection_name = p.name AND h.held) AS "held!"
FROM unnest($1::text[]) AS p (name)
