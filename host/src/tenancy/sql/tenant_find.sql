-- Where the database of a tenant is. Uses tenants_pkey.
SELECT database_url, added_at
FROM eventfabric.tenants
WHERE tenant_id = $1
