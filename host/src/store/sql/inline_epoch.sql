-- A number that changes with every activation of an inline plugin.
SELECT coalesce(sum(generation), 0)::bigint AS "epoch!"
FROM eventfabric.projections
WHERE mode = 'inline'
