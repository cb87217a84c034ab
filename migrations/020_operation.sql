-- What an operator decides for a projection, for all hosts, while they run; and which hosts there are.
-- Whoever changes a row of projections adds 1 to its generation: no host that has not heard of the
-- change moves a checkpoint or claims an event under the old one.

ALTER TABLE eventfabric.projections
    -- Catch-up: in how many parts, by the hash of the stream, its events are handled at the same time.
    ADD COLUMN shards       integer NOT NULL DEFAULT 1 CHECK (shards BETWEEN 1 AND 256),
    -- Catch-up: what becomes of an event that can't be handled.
    ADD COLUMN on_poison    text    NOT NULL DEFAULT 'stop'
        CHECK (on_poison IN ('stop', 'set-aside')),
    -- Async: later events of a stream wait behind one that failed.
    ADD COLUMN stream_order boolean NOT NULL DEFAULT false,
    -- Async: instead of the topics that the plugin names.
    ADD COLUMN topics       jsonb,
    -- Inline: lower ones run first, and those that are the same in the order of their names.
    ADD COLUMN priority     integer NOT NULL DEFAULT 0,
    -- It gets no event at or below this position.
    ADD COLUMN starts_after bigint  NOT NULL DEFAULT 0 CHECK (starts_after >= 0),
    ADD COLUMN paused_at    timestamptz,
    ADD COLUMN paused_by    text,
    ADD COLUMN pause_reason text;

-- The hosts that run, each seen within the last seconds.
CREATE TABLE eventfabric.hosts (
    host_id    uuid        NOT NULL,
    -- Machine and process, for people.
    name       text        NOT NULL,
    version    text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT hosts_pkey PRIMARY KEY (host_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
