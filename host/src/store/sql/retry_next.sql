-- Seconds until the next retry of a projection is due; negative when it is overdue.
-- Uses projection_retries_due_idx.
SELECT extract(epoch FROM min(next_attempt_at) - now())::float8 AS seconds
FROM eventfabric.projection_retries
WHERE projection_name = $1
