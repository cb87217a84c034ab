-- Tenants that have a database of their own, and where it is. Read in the database that a program is
-- given (the directory); in a tenant's own database the table stays empty.

CREATE TABLE eventfabric.tenants (
    tenant_id    text        NOT NULL CHECK (octet_length(tenant_id) BETWEEN 1 AND 512),
    -- May hold a password: nobody but the owner reads this.
    database_url text        NOT NULL,
    added_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id)
);

REVOKE ALL ON eventfabric.tenants FROM PUBLIC;
