-- The state of an aggregate at a version, so that not all of its events need be read.

CREATE TABLE eventfabric.snapshots (
    aggregate_name          text        NOT NULL,
    aggregate_id            text        NOT NULL,
    aggregate_version       integer     NOT NULL,
    created_at              timestamptz NOT NULL DEFAULT now(),
    snapshot_schema_version integer     NOT NULL,
    state                   jsonb       NOT NULL,
    CONSTRAINT snapshots_pkey PRIMARY KEY (aggregate_name, aggregate_id)
);
