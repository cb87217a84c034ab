-- Notes that everything up to $2 is handled, or put aside. Uses projection_backfills_pkey.
UPDATE eventfabric.projection_backfills
SET last_position = $2, updated_at = now()
WHERE projection_name = $1
