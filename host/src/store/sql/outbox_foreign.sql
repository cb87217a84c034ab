-- The worker of another program that holds fresh claims, if there is one. $1: seconds after which
-- a claim is taken to be dead. Uses outbox_foreign_claims_idx.
SELECT locked_by AS worker, locked_at AS "locked_at!"
FROM eventfabric.outbox
WHERE locked_at >= now() - make_interval(secs => $1::float8) AND dead_lettered_at IS NULL
ORDER BY locked_at DESC
LIMIT 1
