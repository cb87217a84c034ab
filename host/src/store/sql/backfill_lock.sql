-- Takes the work on a projection's older events for the length of the transaction; no row where another
-- one has it, where there is none, or under another activation: $1 projection, $2 activation. No key is
-- locked, so workers of the queue go on beside it (backfill_share.sql). Uses projection_backfills_pkey.
SELECT b.last_position, b.target
FROM eventfabric.projection_backfills b
JOIN eventfabric.projections p USING (projection_name)
WHERE b.projection_name = $1 AND p.generation = $2
FOR NO KEY UPDATE OF b SKIP LOCKED
