-- JSON Schemas of events, by type and version, and whether appends are checked against them.

CREATE TABLE eventfabric.event_schemas (
    event_type     text        NOT NULL,
    schema_version integer     NOT NULL CHECK (schema_version >= 1),
    schema         jsonb       NOT NULL,
    -- An append of an event that does not fit is refused.
    enforced       boolean     NOT NULL,
    registered_at  timestamptz NOT NULL DEFAULT now(),
    registered_by  text,
    CONSTRAINT event_schemas_pkey PRIMARY KEY (event_type, schema_version)
);

-- Changes with every change of the table above; an append names the one that it has checked with.
CREATE TABLE eventfabric.event_schemas_generation (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    generation bigint  NOT NULL
);
INSERT INTO eventfabric.event_schemas_generation (generation) VALUES (0);
