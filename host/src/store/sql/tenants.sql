-- The tenants that have events, by hopping from one to the next. Uses events_stream_covering_idx.
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM eventfabric.events ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT e.tenant_id FROM eventfabric.events e
            WHERE e.tenant_id > t.tenant_id ORDER BY e.tenant_id LIMIT 1)
    FROM tenants t
    WHERE t.tenant_id IS NOT NULL
)
SELECT tenant_id AS "tenant!" FROM tenants WHERE tenant_id IS NOT NULL
