-- What an async projection could not handle yet: one row for each (projection, event), so that a
-- failure of one projection never repeats another one's work.

CREATE TABLE eventfabric.projection_retries (
    projection_name text        NOT NULL,
    global_position bigint      NOT NULL,
    tenant_id       text        NOT NULL DEFAULT 'default',
    outbox_id       bigint      NOT NULL,
    topic           text,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_error      text,
    plugin_version  text,
    CONSTRAINT projection_retries_pkey PRIMARY KEY (projection_name, global_position)
);

CREATE INDEX projection_retries_due_idx
    ON eventfabric.projection_retries (projection_name, next_attempt_at);

-- Dead letters that name what failed. Letters of the TypeScript library have no projection: they
-- stand for all.
ALTER TABLE eventfabric.outbox_dead_letters
    ADD COLUMN projection_name text,
    ADD COLUMN plugin_version  text,
    ADD COLUMN first_failed_at timestamptz;

CREATE INDEX outbox_dlq_projection_idx
    ON eventfabric.outbox_dead_letters (projection_name, global_position);

-- Rows that workers of another program hold: few or none, and looked at before each claim.
CREATE INDEX outbox_foreign_claims_idx ON eventfabric.outbox (locked_at)
    WHERE locked_at IS NOT NULL;

-- Which version of the plugin wrote a checkpoint last.
ALTER TABLE eventfabric.projection_checkpoints ADD COLUMN plugin_version text;
