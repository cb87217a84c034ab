-- Each tenant with events in ($1, $2] and its last position there. Uses events_pkey.
SELECT tenant_id AS "tenant!", max(global_position) AS "last!"
FROM eventfabric.events
WHERE global_position > $1 AND global_position <= $2
GROUP BY tenant_id
