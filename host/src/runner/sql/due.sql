-- How many retries of each projection are due, what is parked included. Uses projection_retries_due_idx,
-- projection_parked_projection_idx.
SELECT p.projection_name AS "name!",
       (SELECT count(*) FROM eventfabric.projection_retries r
        WHERE r.projection_name = p.projection_name
          AND NOT r.held AND r.next_attempt_at < now())
       + (SELECT coalesce(sum(k.events), 0)::bigint FROM eventfabric.projection_parked k
          WHERE k.projection_name = p.projection_name) AS "due!"
FROM eventfabric.projections p
