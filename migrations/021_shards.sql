-- Catch-up projections in shards: each handles the streams of its hash, from a checkpoint of its own.

ALTER TABLE eventfabric.projection_checkpoints
    -- More than one: the positions are those of projection_shards, and the one here is where the
    -- tenant was parted.
    ADD COLUMN shards integer NOT NULL DEFAULT 1,
    -- The host that moved the checkpoint last.
    ADD COLUMN owner  text;

CREATE TABLE eventfabric.projection_shards (
    projection_name      text        NOT NULL,
    tenant_id            text        NOT NULL,
    shard                integer     NOT NULL,
    shards               integer     NOT NULL,
    last_global_position bigint      NOT NULL,
    plugin_version       text,
    owner                text,
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projection_shards_pkey PRIMARY KEY (projection_name, tenant_id, shard),
    CHECK (shard >= 0 AND shard < shards)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Where each projection stands, in one shard or in many.
CREATE VIEW eventfabric.projection_positions AS
SELECT projection_name, tenant_id, 0 AS shard, shards, last_global_position, plugin_version, owner,
       updated_at
FROM eventfabric.projection_checkpoints
WHERE shards = 1
UNION ALL
SELECT projection_name, tenant_id, shard, shards, last_global_position, plugin_version, owner,
       updated_at
FROM eventfabric.projection_shards;

-- The shard of a stream: the first two bytes of the SHA-256 of its id. It never changes, on any
-- server: checkpoints depend on it (the host computes the same for events that it holds).
CREATE FUNCTION eventfabric.shard_of(aggregate_id text, shards integer) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (pg_catalog.get_byte(pg_catalog.sha256(pg_catalog.convert_to(aggregate_id, 'UTF8')), 0) * 256
        + pg_catalog.get_byte(pg_catalog.sha256(pg_catalog.convert_to(aggregate_id, 'UTF8')), 1))
       % shards;
