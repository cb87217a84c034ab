-- Plugins: every version's bytes by their SHA-256, and which version is active. Every host follows
-- these tables, so all of them run the same version.

CREATE TABLE eventfabric.plugin_versions (
    sha256      text        NOT NULL,
    plugin_name text        NOT NULL,
    bytes       bytea       NOT NULL,
    description jsonb       NOT NULL,
    imports     text[]      NOT NULL DEFAULT '{}',
    deployed_at timestamptz NOT NULL DEFAULT now(),
    deployed_by text,
    source      text,
    CONSTRAINT plugin_versions_pkey PRIMARY KEY (plugin_name, sha256)
);

-- The bytes of a component do not compress further; keep them out of the way of the other columns.
ALTER TABLE eventfabric.plugin_versions ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE eventfabric.projections (
    projection_name text        NOT NULL,
    mode            text        NOT NULL CHECK (mode IN ('inline', 'catch-up', 'async')),
    active_sha256   text        NOT NULL,
    -- Counts the activations, so that a host sees a change back to an older version, too.
    generation      bigint      NOT NULL DEFAULT 1,
    -- running | failed. A failed projection waits for a new version or a restart of its host.
    state           text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'failed')),
    last_error      text,
    activated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projections_pkey PRIMARY KEY (projection_name),
    CONSTRAINT projections_active_version_fkey
        FOREIGN KEY (projection_name, active_sha256)
        REFERENCES eventfabric.plugin_versions (plugin_name, sha256)
);
