-- Whether a projection is still on its way through older events; it stays so until the transaction
-- ends. Uses projection_backfills_pkey.
SELECT last_position FROM eventfabric.projection_backfills WHERE projection_name = $1 FOR KEY SHARE
