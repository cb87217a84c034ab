-- The directory, by name.
SELECT tenant_id, database_url, added_at
FROM eventfabric.tenants
ORDER BY tenant_id
