-- Versions that come with tables of their own: the tables that such a version has replaced are kept, with
-- which events they hold, so that the way back is to hand them what has come since.

CREATE TABLE eventfabric.projection_kept (
    projection_name      text        NOT NULL,
    -- The SHA-256 of the plugin whose tables they are.
    plugin_version       text        NOT NULL,
    -- They hold what this version wants up to here, but for what is in projection_kept_open,
    last_global_position bigint      NOT NULL,
    -- and these events beyond it.
    beyond               bigint[]    NOT NULL DEFAULT '{}',
    -- What else has decided which events they hold: topics and the start of the projection.
    wants                jsonb       NOT NULL,
    kept_at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projection_kept_pkey PRIMARY KEY (projection_name),
    CONSTRAINT projection_kept_projection_fkey FOREIGN KEY (projection_name)
        REFERENCES eventfabric.projections (projection_name) ON DELETE CASCADE
);

CREATE TABLE eventfabric.projection_kept_open (
    projection_name text   NOT NULL,
    global_position bigint NOT NULL,
    tenant_id       text   NOT NULL,
    aggregate_name  text   NOT NULL,
    aggregate_id    text   NOT NULL,
    CONSTRAINT projection_kept_open_pkey PRIMARY KEY (projection_name, global_position),
    CONSTRAINT projection_kept_open_kept_fkey FOREIGN KEY (projection_name)
        REFERENCES eventfabric.projection_kept (projection_name) ON DELETE CASCADE
);

-- Events beyond the beginning of the parts that the tables hold already, where they were kept before.
ALTER TABLE eventfabric.projection_rebuilds
    ADD COLUMN beyond bigint[] NOT NULL DEFAULT '{}';

-- A version that waits for the projection to come to a position of the log: the first one that is its own.
ALTER TABLE eventfabric.projections
    ADD COLUMN next_sha256 text,
    ADD COLUMN next_at     bigint CHECK (next_at > 0),
    -- What is noted of it then: by, source, tried, trial.
    ADD COLUMN next_origin jsonb;

ALTER TABLE eventfabric.plugin_deployments
    -- The version came with tables of its own.
    ADD COLUMN rebuilt boolean NOT NULL DEFAULT false,
    -- How the trial went, beside the active version on the same events.
    ADD COLUMN trial jsonb,
    -- retire: somebody dropped the tables that were kept; config: a setting of the plugin was changed.
    DROP CONSTRAINT plugin_deployments_action_check,
    ADD CONSTRAINT plugin_deployments_action_check
        CHECK (action IN ('deploy', 'rollback', 'fallback', 'remove', 'retire', 'config'));

-- Which version of a catch-up projection has handled what: from each position on, of a tenant and a shard of
-- so many, until the next row.
CREATE TABLE eventfabric.projection_ranges (
    projection_name text        NOT NULL,
    tenant_id       text        NOT NULL,
    shard           integer     NOT NULL,
    first_position  bigint      NOT NULL,
    shards          integer     NOT NULL,
    plugin_version  text        NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projection_ranges_pkey
        PRIMARY KEY (projection_name, tenant_id, shard, first_position)
);

-- Whoever moves a checkpoint says by which version, in the same transaction.
CREATE FUNCTION eventfabric.note_range() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
DECLARE
    part   integer := 0;
    begins bigint  := OLD.last_global_position + 1;
BEGIN
    IF TG_TABLE_NAME = 'projection_shards' THEN
        part := NEW.shard;
    ELSIF NEW.shards > 1 THEN
        RETURN NULL;
    END IF;
    IF NEW.last_global_position < OLD.last_global_position THEN
        -- What comes again is not handled yet.
        DELETE FROM eventfabric.projection_ranges r
        WHERE r.projection_name = NEW.projection_name
          AND r.tenant_id = NEW.tenant_id
          AND r.first_position > NEW.last_global_position
          AND (r.shard = part OR r.shards <> NEW.shards);
        begins := NEW.last_global_position + 1;
    ELSIF NEW.shards <> OLD.shards THEN
        begins := NEW.last_global_position + 1;
    END IF;
    IF NEW.plugin_version IS NOT NULL THEN
        INSERT INTO eventfabric.projection_ranges
               (projection_name, tenant_id, shard, first_position, shards, plugin_version)
        VALUES (NEW.projection_name, NEW.tenant_id, part, begins, NEW.shards, NEW.plugin_version)
        ON CONFLICT (projection_name, tenant_id, shard, first_position) DO UPDATE
            SET shards = excluded.shards, plugin_version = excluded.plugin_version, at = excluded.at;
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION eventfabric.note_range() FROM PUBLIC;

CREATE TRIGGER projection_checkpoints_note_range
    AFTER UPDATE ON eventfabric.projection_checkpoints
    FOR EACH ROW
    WHEN (OLD.plugin_version IS DISTINCT FROM NEW.plugin_version
          OR NEW.last_global_position < OLD.last_global_position
          OR OLD.shards <> NEW.shards)
    EXECUTE FUNCTION eventfabric.note_range();

CREATE TRIGGER projection_shards_note_range
    AFTER UPDATE ON eventfabric.projection_shards
    FOR EACH ROW
    WHEN (OLD.plugin_version IS DISTINCT FROM NEW.plugin_version
          OR NEW.last_global_position < OLD.last_global_position
          OR OLD.shards <> NEW.shards)
    EXECUTE FUNCTION eventfabric.note_range();
