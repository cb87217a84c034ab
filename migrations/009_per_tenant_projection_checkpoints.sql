-- A projection has a checkpoint for each tenant.

ALTER TABLE eventfabric.projection_checkpoints ADD COLUMN tenant_id text NOT NULL DEFAULT 'default';
ALTER TABLE eventfabric.projection_checkpoints DROP CONSTRAINT projection_checkpoints_pkey;
ALTER TABLE eventfabric.projection_checkpoints
    ADD CONSTRAINT projection_checkpoints_pkey PRIMARY KEY (projection_name, tenant_id);
