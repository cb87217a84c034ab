-- How far each projection has come.

CREATE TABLE eventfabric.projection_checkpoints (
    projection_name      text        NOT NULL,
    last_global_position bigint      NOT NULL DEFAULT 0,
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projection_checkpoints_pkey PRIMARY KEY (projection_name)
);
