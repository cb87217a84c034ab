-- Rebuilds of projections that have begun: a shadow of the projection's schema is filled from the log,
-- and takes its place in one transaction, which deletes these rows. Whoever continues one that was
-- interrupted finds here where it stopped.

CREATE TABLE eventfabric.projection_rebuilds (
    projection_name text        NOT NULL,
    -- What was begun anew has another one, so that nobody goes on with what was there before.
    rebuild_id      uuid        NOT NULL DEFAULT gen_random_uuid(),
    -- The SHA-256 of the plugin that fills the shadow.
    plugin_version  text        NOT NULL,
    -- The shadow gets no event at or below this position.
    starts_after    bigint      NOT NULL CHECK (starts_after >= 0),
    -- What else decides which events it gets: topics and the start of the projection.
    wants           jsonb       NOT NULL,
    shards          integer     NOT NULL CHECK (shards BETWEEN 1 AND 256),
    -- Where it has to come to, as far as is known, for who watches.
    target_position bigint      NOT NULL DEFAULT 0,
    -- Why it ended the last time without coming there.
    last_error      text,
    started_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projection_rebuilds_pkey PRIMARY KEY (projection_name),
    CONSTRAINT projection_rebuilds_projection_fkey FOREIGN KEY (projection_name)
        REFERENCES eventfabric.projections (projection_name) ON DELETE CASCADE
);

-- How far each part of a rebuild has come, by the hash of the stream.
CREATE TABLE eventfabric.projection_rebuild_shards (
    projection_name      text        NOT NULL,
    shard                integer     NOT NULL,
    last_global_position bigint      NOT NULL,
    -- Events that were handed to the plugin.
    events               bigint      NOT NULL DEFAULT 0,
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projection_rebuild_shards_pkey PRIMARY KEY (projection_name, shard),
    CONSTRAINT projection_rebuild_shards_rebuild_fkey FOREIGN KEY (projection_name)
        REFERENCES eventfabric.projection_rebuilds (projection_name) ON DELETE CASCADE
) WITH (fillfactor = 50);

-- Events that a rebuild has passed because the projection itself had not handled them yet: they wait,
-- are being tried again, or were given up. Those that are handled until the end are made up for.
CREATE TABLE eventfabric.projection_rebuild_open (
    projection_name text    NOT NULL,
    shard           integer NOT NULL,
    global_position bigint  NOT NULL,
    tenant_id       text    NOT NULL,
    aggregate_name  text    NOT NULL,
    aggregate_id    text    NOT NULL,
    CONSTRAINT projection_rebuild_open_pkey
        PRIMARY KEY (projection_name, shard, global_position),
    CONSTRAINT projection_rebuild_open_rebuild_fkey FOREIGN KEY (projection_name)
        REFERENCES eventfabric.projection_rebuilds (projection_name) ON DELETE CASCADE
);

-- Those of one stream.
CREATE INDEX projection_rebuild_open_stream_idx ON eventfabric.projection_rebuild_open
    (projection_name, tenant_id, aggregate_name, aggregate_id);
