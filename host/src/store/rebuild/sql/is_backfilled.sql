-- Whether a projection is still on its way through the events that were there before it. Uses
-- projection_backfills_pkey.
SELECT EXISTS (SELECT FROM eventfabric.projection_backfills WHERE projection_name = $1) AS "is!"
