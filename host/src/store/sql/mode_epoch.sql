-- A number that changes with every activation of a plugin of this mode.
SELECT coalesce(sum(generation), 0)::bigint AS "epoch!"
FROM eventfabric.projections
WHERE mode = $1
