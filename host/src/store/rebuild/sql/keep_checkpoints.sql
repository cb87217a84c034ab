-- Waits for who moves a checkpoint, or makes one for a new tenant, and lets nobody do so until the
-- transaction ends.
LOCK TABLE eventfabric.projection_checkpoints, eventfabric.projection_shards IN SHARE MODE
