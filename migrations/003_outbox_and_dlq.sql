-- The queue of events for async projections, and what they could not handle.

CREATE TABLE eventfabric.outbox (
    id                 bigserial   PRIMARY KEY,
    global_position    bigint      NOT NULL UNIQUE,
    topic              text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    locked_at          timestamptz,
    locked_by          text,
    attempts           integer     NOT NULL DEFAULT 0,
    last_error         text,
    dead_lettered_at   timestamptz,
    dead_letter_reason text
);

CREATE INDEX outbox_claimable_idx ON eventfabric.outbox (id)
    WHERE dead_lettered_at IS NULL AND locked_at IS NULL;
CREATE INDEX outbox_topic_idx ON eventfabric.outbox (topic);
CREATE INDEX outbox_global_idx ON eventfabric.outbox (global_position);

CREATE TABLE eventfabric.outbox_dead_letters (
    id               bigserial   PRIMARY KEY,
    outbox_id        bigint      NOT NULL,
    global_position  bigint      NOT NULL,
    topic            text,
    attempts         integer     NOT NULL,
    last_error       text,
    dead_lettered_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX outbox_dlq_global_idx ON eventfabric.outbox_dead_letters (global_position);
