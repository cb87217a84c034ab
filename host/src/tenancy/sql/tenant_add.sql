-- Adds a tenant to the directory; nothing happens where it is there. Uses tenants_pkey.
INSERT INTO eventfabric.tenants (tenant_id, database_url)
VALUES ($1, $2)
ON CONFLICT (tenant_id) DO NOTHING
