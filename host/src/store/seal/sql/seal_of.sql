-- The seal of one event. Uses event_seals_pkey.
SELECT mac
FROM eventfabric.event_seals
WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3 AND aggregate_version = $4
