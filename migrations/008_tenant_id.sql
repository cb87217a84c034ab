-- Every table gets its tenant, and every key begins with it.

ALTER TABLE eventfabric.events ADD COLUMN tenant_id text NOT NULL DEFAULT 'default';
ALTER TABLE eventfabric.stream_versions ADD COLUMN tenant_id text NOT NULL DEFAULT 'default';
ALTER TABLE eventfabric.outbox ADD COLUMN tenant_id text NOT NULL DEFAULT 'default';
ALTER TABLE eventfabric.outbox_dead_letters ADD COLUMN tenant_id text NOT NULL DEFAULT 'default';
ALTER TABLE eventfabric.snapshots ADD COLUMN tenant_id text NOT NULL DEFAULT 'default';

-- The old uniqueness of a version within its stream, whatever its constraint was named. A
-- partitioned table (007) has none.
DO $$
DECLARE
    old name;
BEGIN
    FOR old IN
        SELECT c.conname
        FROM pg_catalog.pg_constraint c
        WHERE c.conrelid = 'eventfabric.events'::regclass
          AND c.contype = 'u'
          AND (SELECT array_agg(a.attname ORDER BY a.attname)
               FROM pg_catalog.pg_attribute a
               WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey))
              = ARRAY['aggregate_id', 'aggregate_name', 'aggregate_version']::name[]
    LOOP
        EXECUTE format('ALTER TABLE eventfabric.events DROP CONSTRAINT %I', old);
    END LOOP;
    IF (SELECT relkind FROM pg_catalog.pg_class WHERE oid = 'eventfabric.events'::regclass) = 'r' THEN
        ALTER TABLE eventfabric.events ADD CONSTRAINT events_tenant_aggregate_version_key
            UNIQUE (tenant_id, aggregate_name, aggregate_id, aggregate_version);
    END IF;
END
$$;

DROP INDEX IF EXISTS eventfabric.events_stream_covering_idx;
CREATE INDEX events_stream_covering_idx
    ON eventfabric.events (tenant_id, aggregate_name, aggregate_id, aggregate_version);

ALTER TABLE eventfabric.stream_versions DROP CONSTRAINT stream_versions_pkey;
ALTER TABLE eventfabric.stream_versions
    ADD CONSTRAINT stream_versions_pkey PRIMARY KEY (tenant_id, aggregate_name, aggregate_id);

ALTER TABLE eventfabric.snapshots DROP CONSTRAINT snapshots_pkey;
ALTER TABLE eventfabric.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (tenant_id, aggregate_name, aggregate_id);
