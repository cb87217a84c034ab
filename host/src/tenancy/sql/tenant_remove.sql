-- Takes a tenant out of the directory. Uses tenants_pkey.
DELETE FROM eventfabric.tenants
WHERE tenant_id = $1
