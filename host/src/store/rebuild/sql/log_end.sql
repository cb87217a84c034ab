-- The greatest position that is visible. Uses events_pkey.
SELECT coalesce(max(global_position), 0) AS "position!" FROM eventfabric.events
