-- How many retries of each projection are due. Uses projection_retries_due_idx.
SELECT p.projection_name AS "name!",
       (SELECT count(*) FROM eventfabric.projection_retries r
        WHERE r.projection_name = p.projection_name
          AND NOT r.held AND r.next_attempt_at < now()) AS "due!"
FROM eventfabric.projections p
