-- Notes who ($2) has ended, in this transaction, the dismissals of events ($1 positions): the trigger
-- knows the database's user only. Uses dismissals_position_idx.
UPDATE eventfabric.dismissals
SET undone_by = $2
WHERE global_position = ANY ($1::bigint[]) AND undone_at = now()
